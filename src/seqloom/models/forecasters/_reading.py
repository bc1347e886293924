"""The recurrent layers that read a series row by row, for the forecasters that do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqloom.layers.recurrent import Recurrent, State
from seqloom.models.forecasters.base import Forecaster, ForecasterSettings, joined

__all__ = ["Reader"]


class Reader(nn.Module):
    """Recurrent layers over the rows of all sequences of a forecaster.

    A step reads the values of its row, and its covariates. Each channel begins with a state h of its own, which is
    learnt: all that tells one channel from another where they share the weights.
    """

    def __init__(self, settings: ForecasterSettings, model: Forecaster) -> None:
        super().__init__()
        shape = model.shape
        self.recurrent = Recurrent(
            settings.cell,
            model.width + shape.past + shape.known,
            settings.hidden,
            settings.layers,
            batch_first=True,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
            nonlinearity=settings.nonlinearity,
        )
        starts = shape.channels if model.independent else 1
        self.start = nn.Parameter(torch.zeros(settings.layers, starts, settings.hidden))

    def inputs(self, model: Forecaster, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        """What the layers read: [N, T, c+P+K] of ``values [B, T, C]`` and the covariates of the same rows."""
        covariates = [None if each is None else model.for_each_sequence(each) for each in (past, known)]
        return joined([model.sequences(values), *covariates])

    def first(self, sequences: int) -> State:
        """The state before the first row: [L, N, H]."""
        h = self.start.repeat(1, sequences // self.start.shape[1], 1)
        others = len(self.recurrent.cell.states) - 1
        return (h, *(torch.zeros_like(h) for _ in range(others))) if others else h

    def forward(self, inputs: Tensor) -> tuple[Tensor, State]:
        """The outputs [N, T, H] of the last layer, and the states after the last row."""
        output, state = self.recurrent(inputs, self.first(inputs.shape[0]))
        return output, state
