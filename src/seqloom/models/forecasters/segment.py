"""A recurrent network over segments of the series, that says all segments of the horizon at once (SegRNN)."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.kernels import Weights
from seqloom.layers.recurrent import Recurrent
from seqloom.models.forecasters._decoding import gru_step_of_all
from seqloom.models.forecasters.base import Forecaster, ForecasterSettings, Shape

__all__ = ["PART", "Segment", "segment_rows"]


def segment_rows(look_back: int, horizon: int) -> int:
    """The rows of a segment where none are given: about a quarter of the look-back, at most 48 and the horizon.

    Of the sizes from half of that to that, the largest that divides both look-back and horizon; else the largest.
    """
    most = max(1, min(48, ceil(look_back / 4), horizon))
    for rows in range(most, most // 2, -1):
        if look_back % rows == 0 and horizon % rows == 0:
            return rows
    return most


class Segment(Forecaster):
    """SegRNN with parallel multi-step forecasting.

        x_i = ReLU(W_p segment_i + b_p)          segments of w rows of the look-back, i = 1 .. n
        h   = recurrence over x_1 .. x_n
        y_j = W_o dropout(step(p_j, h)) + b_o    segments of the horizon, j = 1 .. m, all from the same h
        p_j = [position_j ; channel_c]           learnt, d/2 numbers each

    Source: S. Lin et al., "SegRNN: Segment Recurrent Neural Network for Long-Term Time Series Forecasting",
    arXiv:2308.11200v1 (2023), section 3; there the recurrence is a GRU of one layer. Reading and saying share the
    weights of the recurrence. Here a dropout mask is the same for all segments of a sequence; look-back and horizon
    need not be multiples of w (the first segment is filled up with the first row; what is said beyond F is left out);
    covariates are read beside the values, and those of the segment to say are added to p_j. With
    ``channels="together"`` a segment holds all channels, and p_j is the position alone.
    """

    def __init__(self, settings: ForecasterSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.rows = min(settings.segment, shape.look_back) or segment_rows(shape.look_back, shape.horizon)
        self.read, self.said = ceil(shape.look_back / self.rows), ceil(shape.horizon / self.rows)  # n and m
        hidden = settings.hidden
        self.rate = settings.dropout
        self.projection = nn.Linear(self.rows * self.width, hidden)
        covariates = self.rows * (shape.past + shape.known)
        self.covariates = nn.Linear(covariates, hidden, bias=False) if covariates else None
        self.recurrent = Recurrent(
            settings.cell,
            hidden,
            hidden,
            settings.layers,
            batch_first=True,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
            nonlinearity=settings.nonlinearity,
        )
        by_channel = self.independent and shape.channels > 1
        self.position = nn.Parameter(torch.randn(self.said, hidden - hidden // 2 if by_channel else hidden))
        self.channel = nn.Parameter(torch.randn(shape.channels, hidden // 2)) if by_channel else None
        self.future = nn.Linear(self.rows * shape.known, hidden, bias=False) if shape.known else None
        self.output = nn.Linear(hidden, self.rows * self.width * shape.quantiles)

    def _forecast(self, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        batch, time, _ = values.shape
        read = functional.relu(self._projected(values, past, known))  # [N, n, H]
        _, state = self.recurrent(read)
        inputs = self.position.unsqueeze(1)  # [m, 1, H]
        if self.channel is not None:
            channels = self.channel.shape[0]
            pair = self.position.unsqueeze(1).expand(-1, channels, -1), self.channel.expand(self.said, -1, -1)
            inputs = torch.cat(pair, dim=2)  # [m, C, H]
        future = None
        if self.future is not None and known is not None:
            future = self.future(self._segments(known[:, time:], end=True)).transpose(0, 1)  # [m, B, H]
        output = self._say(inputs, future, state, batch)  # [m, B, C, w*Q] or [m, B, 1, w*C*Q]
        return self._joined(output)

    def _projected(self, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        """What the recurrence reads, before the ReLU: [N, n, H]."""
        projected: Tensor = self.projection(self._segments(self.sequences(values)))
        if self.covariates is None:
            return projected
        known = None if known is None else known[:, : values.shape[1]]
        there = [self._segments(each) for each in (past, known) if each is not None]
        added: Tensor = self.covariates(torch.cat(there, dim=2))  # [B, n, H]
        if not self.independent:
            return projected + added
        batch, segments, hidden = added.shape
        both = projected.view(batch, -1, segments, hidden) + added.unsqueeze(1)  # [B, C, n, H]
        return both.flatten(0, 1)

    def _segments(self, values: Tensor, end: bool = False) -> Tensor:
        """[N, T, X] as [N, n, w*X]; what is missing of a whole segment is the first row again, or the last one."""
        time = values.shape[1]
        missing = -time % self.rows
        if missing:
            row = (values[:, -1:] if end else values[:, :1]).expand(-1, missing, -1)
            values = torch.cat([values, row] if end else [row, values], dim=1)
        return values.reshape(values.shape[0], (time + missing) // self.rows, -1)

    def _say(self, inputs: Tensor, future: Tensor | None, state: Tensor | tuple[Tensor, ...], batch: int) -> Tensor:
        """One step of the recurrence from each state with each segment's input, and the linear map of its output."""
        recurrent = self.recurrent
        if recurrent.cell.name == "gru" and recurrent.num_layers == 1 and isinstance(state, Tensor):
            before = state.view(batch, -1, state.shape[2])  # [B, C, H]
            mask = self._mask(before) if self.training and self.rate else None
            weights = Weights(*recurrent.all_weights[0])
            said: Tensor = self.output(gru_step_of_all(inputs, future, before, mask, weights))
            return said
        return self._say_in_full(inputs, future, state, batch)

    def _say_in_full(
        self, inputs: Tensor, future: Tensor | None, state: Tensor | tuple[Tensor, ...], batch: int
    ) -> Tensor:
        """``_say`` of any recurrence: every combination a row of a scan of one step."""
        said, channels, hidden = self.said, self.shape.channels if self.independent else 1, inputs.shape[2]
        each = inputs.unsqueeze(1).expand(said, batch, channels, hidden)
        if future is not None:
            each = each + future.unsqueeze(2)
        rows = each.reshape(said * batch * channels, 1, hidden)
        states = (state,) if isinstance(state, Tensor) else state
        before = tuple(one.repeat(1, said, 1) for one in states)
        after, _ = self.recurrent(rows, before if len(before) > 1 else before[0])
        after = after.view(said, batch, channels, hidden)
        if self.training and self.rate:
            after = after * self._mask(after[0])
        output: Tensor = self.output(after)
        return output

    def _mask(self, state: Tensor) -> Tensor:
        """Factors [B, C, H], 0 or 1 / (1 - rate), the same for all segments; the rate in steps of 1/256.

        Eight come of one random number of 64 bits: one number each would take as long as the products.
        """
        count = state.numel()
        numbers = torch.empty(ceil(count / 8), dtype=torch.int64, device=state.device).random_(-(2**63), None)
        kept = max(1, round((1 - self.rate) * 256))
        return (numbers.view(torch.uint8)[:count] < kept).view(state.shape).to(state.dtype).mul_(256 / kept)

    def _joined(self, output: Tensor) -> Tensor:
        """Segments [m, B, C or 1, w*c*Q] as a forecast [B, F, C, Q]."""
        said, batch, sequences, _ = output.shape
        shape = self.shape
        output = output.view(said, batch, sequences, self.rows, self.width, shape.quantiles)
        output = output.permute(1, 0, 3, 2, 4, 5)  # [B, m, w, C or 1, c, Q]
        return output.reshape(batch, said * self.rows, shape.channels, shape.quantiles)[:, : shape.horizon]


PART = Segment
