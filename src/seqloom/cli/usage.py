"""What a mistake on the command line is answered with, in the words of every other error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, get_args

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    RepeatArgumentError,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from seqloom.errors import SettingError, nearest

__all__ = ["Whole", "usage_error"]


def usage_error(error: CycloptsError, commands: Iterable[str]) -> SettingError:
    """The same mistake as a SettingError (exit status 2), with the nearest known name.

    Args:
        error: what the parser of the command line found.
        commands: the names of all commands.
    """
    page = f"see: seqloom {' '.join([*(error.command_chain or ()), '--help'])}"
    match error:
        case UnknownCommandError(unused_tokens=[name, *_]) if name.startswith("-"):
            return SettingError(f'there is no option "{name}"', help=nearest(name, ["--help", "--version"]))
        case UnknownCommandError(unused_tokens=[name, *_]):
            return SettingError(f'there is no command "{name}"', help=nearest(name, commands))
        case UnknownOptionError(token=token, argument_collection=arguments):
            name = (token.keyword or token.value).split("=")[0]
            known = [option for argument in arguments for option in argument.names if option.startswith("--")]
            return SettingError(f'there is no option "{name}"', help=_did_you_mean(name, known) + page)
        case RepeatArgumentError(token=token):
            return SettingError(f"{token.keyword} is given twice", help="give it once")
        case MissingArgumentError(argument=argument) if argument is not None:
            return SettingError(_missing(argument, error), help=page)
        case CoercionError(token=token, target_type=kind) if token is not None and kind is not None:
            name = token.keyword or (error.argument.name if error.argument else "an argument")
            return SettingError(f'{name} is "{token.value}"', help=_allowed(token.value, kind))
        case UnusedCliTokensError(unused_tokens=[name, *_]):
            return SettingError(f'"{name}" is one argument too many', help=page)
        case _:
            return SettingError(str(error), help=page)


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError:
        raise CoercionError(token=tokens[0], target_type=int) from None


Whole = Annotated[int, Parameter(converter=_whole)]
"""A whole number; cyclopts alone would take 1.5 and round it."""


def _missing(argument: Any, error: MissingArgumentError) -> str:
    name = error.keyword or argument.name
    return f"{name} needs a value" if name.startswith("--") else f"{name.upper()} is missing"


def _allowed(value: str, kind: Any) -> str:
    choices = [choice for choice in get_args(kind) if isinstance(choice, str)]
    if choices:
        return nearest(value, choices)
    names = {int: "a whole number", float: "a number"}
    wanted = [names[option] for option in (kind, *get_args(kind)) if option in names]
    return f"allowed: {wanted[0]}" if wanted else f"allowed: {kind}"


def _did_you_mean(name: str, known: list[str]) -> str:
    """The nearest name alone: a command may have too many options to list them all."""
    hint, question, _ = nearest(name, known).partition("? ")
    return hint + question if question else ""
