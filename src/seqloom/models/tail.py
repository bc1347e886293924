"""The loss of a language model over a whole text, every token counted once."""

from __future__ import annotations

from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

__all__ = ["score_tokens"]

ROWS = 32
"""Stretches of the text that are read beside each other."""
CONTEXT = 256
"""Tokens read before each stretch but the first, to bring the state to where it would be; not scored again."""
STEPS = 256
"""Most steps of one call of the model."""
SCORES = 2**24
"""Most scores of one call, rows * steps * V: 64 MiB."""


def score_tokens(model: nn.Module, tokens: NDArray[np.int32], vocabulary: int = 256) -> tuple[float, int, int]:
    """Nats, right guesses and number of predictions over ``tokens[1:]``, each given what stands before it.

    The text is cut into up to 32 stretches that are read at once; each begins with the 256 tokens before it, unscored,
    so that its state is warm. Every token but the first is scored exactly once. ``vocabulary`` (V) bounds the memory.
    """
    count = len(tokens) - 1
    rows = max(1, min(ROWS, count // (2 * CONTEXT)))
    size = ceil(count / rows)
    first = [row * size for row in range(rows)]  # position in the text of the first scored input of each row
    start = [max(0, position - CONTEXT) for position in first]
    end = [min(count, position + size) for position in first]
    longest = max(stop - begin for begin, stop in zip(start, end, strict=True))
    inputs = np.zeros((rows, longest), dtype=np.int64)
    targets = np.full((rows, longest), -100, dtype=np.int64)  # -100: not scored
    for row in range(rows):
        inputs[row, : end[row] - start[row]] = tokens[start[row] : end[row]]
        targets[row, first[row] - start[row] : end[row] - start[row]] = tokens[first[row] + 1 : end[row] + 1]
    steps = max(1, min(STEPS, SCORES // (rows * vocabulary)))
    nats, right, state = 0.0, 0, ()
    with torch.no_grad():
        for step in range(0, longest, steps):
            scores, state = model(torch.from_numpy(inputs[:, step : step + steps]), state)
            wanted = torch.from_numpy(targets[:, step : step + steps].copy())
            nats += float(cross_entropy(scores.flatten(0, 1).float(), wanted.flatten(), reduction="sum"))
            right += int((scores.argmax(dim=2) == wanted).sum())
    return nats, right, count
