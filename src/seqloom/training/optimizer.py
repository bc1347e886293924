"""AdamW, the learning rate over time, and one step of both."""

from __future__ import annotations

from math import cos, pi
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["adamw", "learning_rate", "set_learning_rate"]

BETAS = (0.9, 0.99)
FLOOR = 0.02
"""Share of the peak learning rate that is left at the end."""


def adamw(model: nn.Module, settings: Any) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), fused; no decay on biases and other vectors."""
    import torch

    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=settings.lr, betas=BETAS, eps=1e-8, fused=True)


def learning_rate(progress: float, settings: Any) -> float:
    """The learning rate at ``progress`` (0 at the beginning, 1 at the end): linear warm-up, then half a cosine.

    The cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts) ends at 2 % of the peak.
    """
    if settings.schedule == "constant":
        return float(settings.lr)
    if progress < settings.warmup:
        return float(settings.lr * (0.01 + 0.99 * progress / settings.warmup))
    after = min(1.0, (progress - settings.warmup) / (1 - settings.warmup))
    return float(settings.lr * (FLOOR + (1 - FLOOR) * 0.5 * (1 + cos(pi * after))))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group of parameters the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
