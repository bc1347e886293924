"""Many to one: the recurrent layers read the look-back, and their last state says the whole horizon."""

from __future__ import annotations

from torch import Tensor, nn

from seqloom.models.forecasters._reading import Reader
from seqloom.models.forecasters.base import Forecaster, ForecasterSettings, KnownEffect, Shape

__all__ = ["PART", "LastStep"]


class LastStep(Forecaster):
    """A linear map from the last step's output to all F values at once (the direct strategy)."""

    def __init__(self, settings: ForecasterSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.reader = Reader(settings, self)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.hidden, shape.horizon * self.width * shape.quantiles)
        self.known = KnownEffect(self) if shape.known else None

    def _forecast(self, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        time = self.shape.look_back
        inputs = self.reader.inputs(self, values, past, None if known is None else known[:, :time])
        output, _ = self.reader(inputs)  # [N, T, H]
        said: Tensor = self.output(self.dropout(output[:, -1]))  # [N, F*c*Q]
        forecast = self.by_channel(said.view(said.shape[0], self.shape.horizon, -1))
        if self.known is not None and known is not None:
            forecast = forecast + self.known(known[:, time:])
        return forecast


PART = LastStep
