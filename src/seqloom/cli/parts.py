"""``seqloom parts``."""

from __future__ import annotations

from seqloom import parts as found
from seqloom.cli.output import print_json, print_table
from seqloom.errors import SettingError, nearest


def parts(kind: str | None = None, /, *, json: bool = False) -> None:
    """List the cells, tasks, formats, tokenizers and recipes there are.

        $ seqloom parts cells

    Args:
        kind: One kind of part: cells, formats, recipes, tasks, tokenizers.
        json: Print them as JSON.
    """
    if kind is not None and kind not in found.KINDS:
        raise SettingError(f'there is no kind of part "{kind}"', help=nearest(kind, found.KINDS))
    kinds = found.KINDS if kind is None else [kind]
    rows = [
        {"kind": name, "name": part, "what": found.describe(name, part)} for name in kinds for part in found.names(name)
    ]
    if json:
        print_json(rows)
    else:
        print_table(rows)
