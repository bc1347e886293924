"""What is taken out of a window before a model reads it, and put back into its forecast."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqloom.errors import SettingError, nearest

__all__ = ["NAMES", "InstanceNormalization", "LastValue", "Unchanged", "normalization"]

Remembered = tuple[Tensor, ...]


class Unchanged(nn.Module):
    """Nothing is taken out."""

    def forward(self, values: Tensor) -> tuple[Tensor, Remembered]:
        """Values [B, T, C] as a model is to read them, and what ``undo`` needs."""
        return values, ()

    def undo(self, forecast: Tensor, remembered: Remembered) -> Tensor:
        """A forecast [B, F, C, Q] in the units of the values."""
        return forecast


class LastValue(Unchanged):
    """The last value of each channel is subtracted, and added to the forecast.

    Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?", arXiv:2205.13504, section 3.2
    (NLinear); Lin et al. 2023, arXiv:2308.11200, section 3.5.
    """

    def forward(self, values: Tensor) -> tuple[Tensor, Remembered]:
        last = values[:, -1:]  # [B, 1, C]
        return values - last, (last,)

    def undo(self, forecast: Tensor, remembered: Remembered) -> Tensor:
        return forecast + remembered[0].unsqueeze(3)


class InstanceNormalization(Unchanged):
    """Each channel of a window to mean 0 and deviation 1, times a weight and plus a bias that are learnt; and back.

    Kim et al. 2022, "Reversible Instance Normalization for Accurate Time-Series Forecasting against Distribution
    Shift" (ICLR), equations 1 to 3. No gradient goes through mean and deviation.
    """

    EPSILON = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor) -> tuple[Tensor, Remembered]:
        mean = values.detach().mean(dim=1, keepdim=True)  # [B, 1, C]
        variance = values.detach().var(dim=1, keepdim=True, correction=0)
        deviation = (variance + self.EPSILON).sqrt()
        return (values - mean) / deviation * self.weight + self.bias, (mean, deviation)

    def undo(self, forecast: Tensor, remembered: Remembered) -> Tensor:
        mean, deviation = remembered
        # The square keeps the quotient apart from 0, as the authors' code does.
        plain = (forecast - self.bias.unsqueeze(1)) / (self.weight.unsqueeze(1) + self.EPSILON**2)
        return plain * deviation.unsqueeze(3) + mean.unsqueeze(3)


NAMES = ("none", "last", "instance")


def normalization(name: str, channels: int) -> Unchanged:
    """The normalisation of this name.

    Raises:
        SettingError: there is none; names the nearest one.
    """
    if name == "none":
        return Unchanged()
    if name == "last":
        return LastValue()
    if name == "instance":
        return InstanceNormalization(channels)
    raise SettingError(f'"{name}" is not one of the normalizations', help=nearest(name, NAMES))
