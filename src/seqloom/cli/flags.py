"""Flags made of settings: the field is the flag, its docstring the help, its default the default shown."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from cyclopts import Group, Parameter

from seqloom import parts
from seqloom.settings import Settings, duration

__all__ = ["with_settings"]

Command = TypeVar("Command", bound=Callable[..., Any])


def with_settings(command: Command) -> Command:
    """Gives a command one optional flag for each setting of each task, in place of its ``**settings``.

    Only flags that were given reach the command, as text (a switch as a boolean): the task's settings convert and
    check them, and refuse those of another task.
    """
    signature = inspect.signature(command)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    flags = [flag.parameter() for flag in _flags()]
    command.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
    return command


@dataclass
class Flag:
    """One setting as a flag: in which tasks it is, and with which default."""

    name: str
    group: Group
    help: str
    words: list[Any]
    """The field's type, taken apart."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """The default in each task that has this setting."""

    def parameter(self) -> inspect.Parameter:
        switch = bool in self.words
        shown = Parameter(
            help=self.text(), metavar=None if switch else self.metavar(), negative_bool="no-", group=self.group
        )
        annotation = Annotated[(bool if switch else str) | None, shown]  # type: ignore[valid-type]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    def text(self) -> str:
        values = {task: self.spell(value) for task, value in self.defaults.items() if value not in (None, ())}
        if not values:
            return self.help
        if len(set(values.values())) == 1:
            return f"{self.help} [{next(iter(values.values()))}]"
        return f"{self.help} [{', '.join(f'{task}: {value}' for task, value in values.items())}]"

    def metavar(self) -> str:
        choices = [word for word in self.words if isinstance(word, str)]
        kind = "forecasters" if self.name == "model" else f"{self.name}s"
        if kind in parts.KINDS:
            choices = list(parts.names(kind))
        if choices:
            return "|".join(choices)
        if self.is_duration():
            return "TIME"
        if any(get_origin(word) is tuple for word in self.words):
            return "A,B,C"
        return "INT" if int in self.words else "FLOAT" if float in self.words else "STR"

    def is_duration(self) -> bool:
        return any(getattr(word, "func", None) is duration for word in self.words)

    def spell(self, value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, tuple):
            return ",".join(map(str, value))
        if not self.is_duration():
            return str(value)
        return f"{value / 60:g}m" if value >= 60 and value % 60 == 0 else f"{value:g}s"


def _flags() -> list[Flag]:
    """All settings of all tasks, those of the shared groups first."""
    tasks = {name: parts.part("tasks", name).Settings for name in parts.names("tasks")}
    titles = {group: f"{name} only" for name, group in tasks.items()}
    groups: dict[type[Settings], Group] = {}
    flags: dict[str, Flag] = {}
    for task, settings in tasks.items():
        for owner in settings.__mro__:
            for name in _declared(settings, owner):
                title = titles.get(owner, owner.__name__.removesuffix("Settings"))
                group = groups.setdefault(owner, Group(title, sort_key=len(groups) + 100 * (owner in titles)))
                information = settings.model_fields[name]
                words = [*information.metadata, *_words(information.annotation)]
                flag = flags.setdefault(name, Flag(name, group, settings.help(name), words))
                flag.defaults[task] = None if information.is_required() else information.default
    return sorted(flags.values(), key=lambda flag: flag.group.sort_key)


def _declared(settings: type[Settings], owner: type) -> list[str]:
    """The settings that a group declares first; a task that only changes a default does not own it."""
    above = settings.__mro__[settings.__mro__.index(owner) + 1 :]
    inherited = {name for group in above for name in inspect.get_annotations(group)}
    return [name for name in inspect.get_annotations(owner) if name in settings.model_fields and name not in inherited]


def _words(hint: Any) -> Iterator[Any]:
    """A type and, within it, all that its unions, literals and annotations are made of."""
    yield hint
    if get_origin(hint) is Literal or get_args(hint):
        for word in get_args(hint):
            yield from _words(word)
