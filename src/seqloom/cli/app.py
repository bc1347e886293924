"""The command line's parser; each command is imported when it is called."""

from __future__ import annotations

from cyclopts import App, CycloptsError, Group, Parameter

from seqloom.cli.help import Help
from seqloom.cli.overview import ABOUT, COMMANDS, OPTIONS, documentation, version
from seqloom.cli.usage import usage_error

__all__ = ["run"]


def run(arguments: list[str]) -> None:
    """Runs one command.

    Raises:
        SettingError: the command, an option or an argument is unknown, missing or of the wrong kind.
    """
    app = _app()
    try:
        app(arguments)
    except CycloptsError as error:
        raise usage_error(error, COMMANDS) from None


def _app() -> App:
    app = App(
        name="seqloom",
        help=ABOUT,
        help_format="plaintext",
        help_formatter=Help(),
        version=version,
        group_parameters=Group("Options", sort_key=-1),
        default_parameter=Parameter(negative_bool=()),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, about in OPTIONS.items():
        app[name.split()[0]].help = about
    for order, (name, module) in enumerate(COMMANDS.items()):
        app.command(f"seqloom.cli.{module}:{name}", name=name, help=documentation(module, name), sort_key=order)
    return app
