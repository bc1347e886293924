"""The commands there are; each is imported when it is called."""

from __future__ import annotations

import ast
from pathlib import Path

from cyclopts import App, CycloptsError, Group, Parameter

from seqloom.cli.help import Help
from seqloom.cli.usage import usage_error

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "inspect": "inspect",
    "train": "train",
    "resume": "train",
    "evaluate": "evaluate",
    "predict": "predict",
    "backtest": "backtest",
    "generate": "generate",
    "report": "runs",
    "compare": "runs",
    "recipe": "recipe",
    "parts": "parts",
    "bench": "bench",
    "demo": "demo",
}
"""Each command and the module of this package that holds the function of its name, in the order of the help."""

HELP = """Learn from anything that comes in order: a file in, a trained model, a verdict and a report out.

seqloom COMMAND --help tells all of a command. Begin with: seqloom demo"""


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
        help=HELP,
        help_format="plaintext",
        help_formatter=Help(),
        version=_version,
        group_parameters=Group("Options", sort_key=-1),
        default_parameter=Parameter(negative_bool=()),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app["--help"].help = "This text."
    app["--version"].help = "The version of seqloom."
    for order, (name, module) in enumerate(COMMANDS.items()):
        app.command(f"seqloom.cli.{module}:{name}", name=name, help=_documentation(module, name), sort_key=order)
    return app


def _documentation(module: str, function: str) -> str:
    """The docstring of a command, read without importing it."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text("utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return ast.get_docstring(found) or ""


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("seqloom")
    except metadata.PackageNotFoundError:
        return "unknown: seqloom runs from its source and is not installed"
