"""``seqloom generate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from seqloom.cli.output import print_json
from seqloom.cli.usage import Whole
from seqloom.errors import SettingError


def generate(
    run: Path,
    /,
    *,
    prompt: str = "",
    length: Whole = 300,
    temperature: float = 1.0,
    top_k: Whole | None = None,
    top_p: float | None = None,
    greedy: bool = False,
    seed: Whole = 1,
    json: bool = False,
) -> None:
    """Write text with a language model, as it comes; the prompt first.

        $ seqloom generate runs/poems-language-1 --prompt "The sea" --length 300 --temperature 0.8

    Args:
        run: Run folder of a language model.
        prompt: Text to go on from.
        length: Tokens to write after the prompt.
        temperature: Below 1 safer, above 1 wilder.
        top_k: Draw from the K likeliest tokens only.
        top_p: Draw from the likeliest tokens that together reach this probability.
        greedy: Always take the likeliest token.
        seed: The same seed writes the same text.
        json: Print {"prompt", "text", ...} as JSON when done.
    """
    sampling: dict[str, Any] = {"length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    sampling |= {"greedy": greedy, "seed": seed}
    _check(length, temperature, top_k, top_p, seed)
    from seqloom.predict import load

    pieces = load(run).generate(prompt, **sampling)
    if json:
        print_json({"prompt": prompt, "text": "".join(pieces), **sampling})
        return
    first = next(pieces, "")  # what goes wrong goes wrong here, before anything is printed
    print(prompt, end=first, flush=True)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()


def _check(length: int, temperature: float, top_k: int | None, top_p: float | None, seed: int) -> None:
    if length < 1:
        raise SettingError(f"--length is {length}; allowed: at least 1")
    if not 0 < temperature < float("inf"):
        raise SettingError(f"--temperature is {temperature}; allowed: above 0", help="for the likeliest text: --greedy")
    if top_k is not None and top_k < 1:
        raise SettingError(f"--top-k is {top_k}; allowed: at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise SettingError(f"--top-p is {top_p}; allowed: above 0, at most 1")
    if not 0 <= seed < 2**63:
        raise SettingError(f"--seed is {seed}; allowed: 0 to 2**63 - 1")
