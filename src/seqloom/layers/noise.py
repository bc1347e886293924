"""What training adds to a recurrence so that it generalises: masks, drawn from torch's generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["connection_mask", "dropout_mask", "zoneout_marks"]

_LEVELS = 1 << 16


def dropout_mask(input: Tensor, hidden: int, rate: float) -> Tensor:
    """Factors for the recurrent state, the same at every step of a sequence: 0, or 1 / (1 - rate).

    Source: Y. Gal, Z. Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks",
    arXiv:1512.05287 (2016), section 4; scaled in training, so that evaluation needs no factor.

    Args:
        input: [B, T, I], which gives B, the type and the device.
        hidden: H.
        rate: the share of zeros.

    Returns:
        [B, H].
    """
    return functional.dropout(input.new_ones(input.shape[0], hidden), rate)


def connection_mask(weight: Tensor, rate: float) -> Tensor:
    """Factors for recurrent weights: 0, or 1 / (1 - rate).

    The rate is rounded to 1 / 65,536.

    Source: L. Wan et al., "Regularization of Neural Networks using DropConnect", ICML (2013); of recurrent weights:
    S. Merity, N. Keskar, R. Socher, arXiv:1708.02182 (2018), section 2.

    Args:
        weight: gives the shape, the type and the device.
        rate: the share of zeros.

    Returns:
        As ``weight``.
    """
    dropped = _share(rate)
    scale = 1 / (1 - dropped) if dropped < 1 else 0.0
    return (~_drawn(weight.shape, dropped, weight.device)).to(weight.dtype).mul_(scale)


def zoneout_marks(input: Tensor, hidden: int, rates: Sequence[float]) -> tuple[Tensor, ...]:
    """Marks where each state stays as it was. The rates are rounded to 1 / 65,536.

    Source: D. Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations",
    arXiv:1606.01305v4 (2017), section 3.

    Args:
        input: [B, T, I], which gives B, T and the device.
        hidden: H.
        rates: the share of marks, for each state.

    Returns:
        bool [B, T, H] for each state.
    """
    batch, time, _ = input.shape
    return tuple(_drawn((batch, time, hidden), _share(rate), input.device) for rate in rates)


def _share(rate: float) -> float:
    return round(rate * _LEVELS) / _LEVELS


def _drawn(shape: Sequence[int], share: float, device: torch.device) -> Tensor:
    """True with this probability, a multiple of 1 / 65,536.

    Of each 64 random bits four marks are made, in a fifth to a tenth of the time that torch's bernoulli_ and dropout
    take: there are as many to draw as a short training step has products.
    """
    if share in (0, 1):  # a limit for which 16 bits are too few
        return torch.full(shape, share == 1, dtype=torch.bool, device=device)
    count = math.prod(shape)
    limits = -(1 << 63), (1 << 63) - 1
    bits = torch.randint(*limits, (-(-count // 4),), dtype=torch.int64, device=device)
    return bits.view(torch.int16)[:count].view(shape) < round(share * _LEVELS) - _LEVELS // 2
