"""From scores to tokens: greedy, temperature, top-k and top-p, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqloom.errors import SettingError

if TYPE_CHECKING:
    from seqloom.models.language_model import LanguageModel

__all__ = ["check_sampling", "generate", "sample"]


def check_sampling(temperature: float, top_k: int | None, top_p: float | None, length: int) -> None:
    """Says which sampling setting is out of range.

    Raises:
        SettingError: temperature not above 0, top_k below 1, top_p outside (0, 1], length below 0.
    """
    if not 0 < temperature < inf:
        raise SettingError(
            f"temperature is {temperature}; allowed: a number above 0", help="greedy takes the likeliest token"
        )
    if top_k is not None and top_k < 1:
        raise SettingError(f"top_k is {top_k}; allowed: at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise SettingError(f"top_p is {top_p}; allowed: above 0 and at most 1")
    if length < 0:
        raise SettingError(f"length is {length}; allowed: at least 0")


def sample(
    scores: Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> int:
    """One token id drawn from ``scores [V]``.

    ``top_k`` keeps the k likeliest tokens (all that tie with the k-th too). ``top_p`` keeps the fewest of the likeliest
    tokens whose probabilities together reach p (Holtzman et al. 2020, arXiv:1904.09751, section 3.1).
    """
    scores = scores.float()
    scores = (scores - scores.max()) / temperature  # at most 0: no temperature is too low for fp32
    if top_k is not None and top_k < scores.numel():
        least = scores.topk(top_k).values[-1]
        scores = scores.masked_fill(scores < least, float("-inf"))
    probabilities = scores.softmax(dim=0)
    if top_p is not None and top_p < 1:
        ordered, index = probabilities.sort(descending=True, stable=True)
        before = ordered.cumsum(dim=0) - ordered
        probabilities = torch.zeros_like(probabilities).scatter(0, index, ordered.masked_fill(before >= top_p, 0.0))
    return int(torch.multinomial(probabilities, 1, generator=generator))


@torch.no_grad()
def generate(
    model: LanguageModel,
    prompt: list[int],
    *,
    length: int,
    seed: int,
    greedy: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    forbidden: tuple[int, ...] = (),
) -> Iterator[int]:
    """Token ids as they are drawn. The recurrent state is carried, so each token costs the same.

    ``prompt`` must hold at least one id; ``forbidden`` ids (padding, unknown) are never drawn.
    """
    generator = torch.Generator().manual_seed(seed % 2**64)
    scores, state = model(torch.tensor([prompt]))
    for _ in range(length):
        last = scores[0, -1].float()
        last[list(forbidden)] = float("-inf")
        if greedy:
            token = int(last.argmax())
        else:
            token = sample(last, generator, temperature=temperature, top_k=top_k, top_p=top_p)
        yield token
        scores, state = model(torch.tensor([[token]]), state)
