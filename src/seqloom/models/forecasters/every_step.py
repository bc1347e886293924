"""Many to many: at every row the layers say the next F values from all rows so far."""

from __future__ import annotations

from math import ceil
from typing import Any, ClassVar

from torch import Tensor, nn

from seqloom.errors import SettingError
from seqloom.models.forecasters._reading import Reader
from seqloom.models.forecasters.base import Forecaster, ForecasterSettings, KnownEffect, Shape

__all__ = ["PART", "EveryStep"]

TRAINED = 8192
"""Most values that one training window asks of one channel: up to 8,192 / F of its rows are origins."""


class EveryStep(Forecaster):
    """A linear map at every step of the recurrent layers; trained on all steps of a window, not on its last one alone.

    Since a step must not see what comes after it, ``normalization="last"`` is here the value of the step itself: the
    layers read the values as they are and say the differences from that value. For the same reason there is no
    ``"instance"``, whose mean is that of the whole window.
    """

    stateful: ClassVar[bool] = True

    def __init__(self, settings: ForecasterSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        if settings.normalization == "instance":
            raise SettingError(
                "every-step cannot take normalization instance: at each step it would see the rows after it",
                help="take normalization last or none, or the model last-step",
            )
        self.offsets = settings.normalization == "last"
        self.reader = Reader(settings, self)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.hidden, shape.horizon * self.width * shape.quantiles)
        self.known = KnownEffect(self) if shape.known else None

    def forward(self, values: Tensor, past: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """See ``Forecaster.forward``: the forecast of the last step."""
        time = self.shape.look_back
        self._check(values, past, known, time)
        output, _ = self.reader(self._inputs(values, past, known))
        future = None if known is None else known[:, None, time:]
        return self._said(output[:, -1:], values[:, -1:], future).squeeze(1)

    def training_output(
        self, values: Tensor, past: Tensor | None = None, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``Forecaster.training_output``: the origins are all T rows; of a long horizon evenly spaced ones."""
        time, horizon = self.shape.look_back, self.shape.horizon
        apart = ceil(time * horizon / TRAINED)
        first = (time - 1) % apart  # so that the last row is one of them
        read = values[:, :time]
        self._check(read, past, known, time)
        output, _ = self.reader(self._inputs(read, past, known))
        future = None
        if known is not None:
            future = known[:, 1:].unfold(1, horizon, 1)[:, first::apart].transpose(2, 3)  # [B, S, F, K]
        prediction = self._said(output[:, first::apart], read[:, first::apart], future)
        target = values[:, 1:].unfold(1, horizon, 1)[:, first::apart].transpose(2, 3)  # [B, S, F, C]
        return prediction, target

    def step(
        self, values: Tensor, state: Any = None, past: Tensor | None = None, known: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """See ``Forecaster.step``."""
        row, past = values.unsqueeze(1), None if past is None else past.unsqueeze(1)
        self._check_row(row, past, known)
        inputs = self.reader.inputs(self, row, past, None if known is None else known[:, :1])  # [N, 1, c+P+K]
        state = self.reader.first(inputs.shape[0]) if state is None else state
        output, state = self.reader.recurrent.step(inputs.squeeze(1), state)
        future = None if known is None else known[:, None, 1:]
        return self._said(output.unsqueeze(1), row, future).squeeze(1), state

    def _inputs(self, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        return self.reader.inputs(self, values, past, None if known is None else known[:, : values.shape[1]])

    def _check_row(self, row: Tensor, past: Tensor | None, known: Tensor | None) -> None:
        self._check(row, past, known, 1)

    def _said(self, output: Tensor, values: Tensor, known: Tensor | None) -> Tensor:
        """Forecasts [B, S, F, C, Q] from outputs [N, S, H], the values of their steps [B, S, C], what is known after
        each [B, S, F, K]."""
        shape, steps = self.shape, output.shape[1]
        said: Tensor = self.output(self.dropout(output)).to(values.dtype)  # [N, S, F*c*Q]
        if self.independent:
            said = said.view(-1, shape.channels, steps, shape.horizon, shape.quantiles).permute(0, 2, 3, 1, 4)
        else:
            said = said.view(-1, steps, shape.horizon, shape.channels, shape.quantiles)
        if self.offsets:
            said = said + values[:, :, None, :, None]
        if self.known is not None and known is not None:
            said = said + self.known(known)
        return said


PART = EveryStep
