"""Two recurrent networks: one reads the look-back, the other goes on from its state through the horizon."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqloom.layers.recurrent import Recurrent
from seqloom.models.forecasters._reading import Reader
from seqloom.models.forecasters.base import Forecaster, ForecasterSettings, Shape, joined

__all__ = ["PART", "EncoderDecoder"]


class EncoderDecoder(Forecaster):
    """Sequence to sequence (Sutskever et al. 2014, arXiv:1409.3215), without feeding forecasts back.

    At each step of the horizon the decoder reads the last value that was seen, the step's place in the horizon (from
    1/F to 1), and what is known of the step in advance; a linear map says the value. Forecasts are not its inputs, so
    that errors do not grow from step to step, training and forecasting compute the same, and all steps are one scan
    (Wen et al. 2017, "A Multi-Horizon Quantile Recurrent Forecaster", arXiv:1711.11053, section 3.1).
    """

    def __init__(self, settings: ForecasterSettings, shape: Shape) -> None:
        super().__init__(settings, shape)
        self.reader = Reader(settings, self)
        self.decoder = Recurrent(
            settings.cell,
            self.width + 1 + shape.known,
            settings.hidden,
            settings.layers,
            batch_first=True,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
            nonlinearity=settings.nonlinearity,
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.hidden, self.width * shape.quantiles)

    def _forecast(self, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        time, horizon = self.shape.look_back, self.shape.horizon
        inputs = self.reader.inputs(self, values, past, None if known is None else known[:, :time])
        _, state = self.reader(inputs)
        last = self.sequences(values[:, -1:]).expand(-1, horizon, -1)  # [N, F, c]
        place = torch.arange(1, horizon + 1, dtype=values.dtype, device=values.device) / horizon
        place = place.view(1, horizon, 1).expand(last.shape[0], -1, -1)
        future = None if known is None else self.for_each_sequence(known[:, time:])
        output, _ = self.decoder(joined([last, place, future]), state)  # [N, F, H]
        return self.by_channel(self.output(self.dropout(output)))


PART = EncoderDecoder
