"""Two linear maps from the look-back to the horizon: one of the trend, one of what is left."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from seqloom.models.forecasters.base import Forecaster, ForecasterSettings, KnownEffect, Shape

__all__ = ["PART", "Linear", "moving_average"]

WIDTH = 25
"""Rows of the moving average, as in the authors' code."""


def moving_average(values: Tensor, width: int = WIDTH) -> Tensor:
    """The mean of ``width`` values around each; at the ends the first and the last value stand for what is not there.

    Args:
        values: [N, T], or any other axes before T.
        width: odd.

    Returns:
        The same shape.
    """
    half = width // 2
    first, last = values[..., :1], values[..., -1:]
    padded = functional.pad(values, (half, half))
    padded[..., :half], padded[..., -half:] = first, last
    return functional.avg_pool1d(padded.view(-1, 1, padded.shape[-1]), width, stride=1).view(values.shape)


class Linear(Forecaster):
    """DLinear.

        trend    = moving average of x
        forecast = W_t trend + b_t + W_s (x - trend) + b_s

    Source: A. Zeng et al., "Are Transformers Effective for Time Series Forecasting?", arXiv:2205.13504v3 (2022),
    section 3.2. Channels share the maps; with ``channels="together"`` one map goes from all channels to all. Past
    covariates have a linear map of their own; those known in advance add one that is the same for all steps.
    """

    def __init__(self, settings: ForecasterSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        read, said = shape.look_back * self.width, shape.horizon * self.width * shape.quantiles
        self.trend = nn.Linear(read, said)
        self.rest = nn.Linear(read, said)
        self.past = nn.Linear(shape.look_back * shape.past, shape.horizon * shape.quantiles) if shape.past else None
        self.known = KnownEffect(self) if shape.known else None

    def _forecast(self, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        rows = values.transpose(1, 2).contiguous()  # [B, C, T]
        trend = moving_average(rows)
        rest = rows - trend
        if not self.independent:
            trend, rest = trend.flatten(1), rest.flatten(1)  # [B, C*T]
        output: Tensor = self.trend(trend) + self.rest(rest)  # [B, C, F*Q] or [B, C*F*Q]
        shape = self.shape
        forecast = output.view(-1, shape.channels, shape.horizon, shape.quantiles).transpose(1, 2)
        if self.past is not None and past is not None:
            forecast = forecast + self.past(past.flatten(1)).view(-1, shape.horizon, 1, shape.quantiles)
        if self.known is not None and known is not None:
            forecast = forecast + self.known(known[:, shape.look_back :])
        return forecast


PART = Linear
