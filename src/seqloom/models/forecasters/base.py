"""What every forecaster is: the last rows of some channels in, the next values of all of them out."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from seqloom.errors import SettingError
from seqloom.models.forecasters._normalization import normalization
from seqloom.shapes import check

__all__ = ["Forecaster", "ForecasterSettings", "Shape"]


class Shape(NamedTuple):
    """The sizes of one forecast.

    Attributes:
        look_back: T, the rows that are read.
        horizon: F, the rows that are foretold.
        channels: C, the columns that are foretold.
        past: P, the columns that are known up to now.
        known: K, the columns that are known in advance.
        quantiles: Q, the values given for each step; 1 for a plain forecast.
    """

    look_back: int
    horizon: int
    channels: int
    past: int = 0
    known: int = 0
    quantiles: int = 1


class ForecasterSettings(Protocol):
    """What a forecaster reads of a task's settings."""

    @property
    def cell(self) -> str: ...
    @property
    def nonlinearity(self) -> str: ...
    @property
    def layers(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def segment(self) -> int: ...
    @property
    def normalization(self) -> str: ...
    @property
    def channels(self) -> str: ...


class Forecaster(nn.Module):
    """A model from look-back to horizon; what a file in this folder calls ``PART``.

    All values are in the scaled units that the task chose. With ``channels="independent"`` each channel is a sequence
    of its own and all share the weights (Nie et al. 2023, arXiv:2211.14730, section 3.1); with ``"together"`` a model
    reads all channels at once.

    Args:
        settings: what the user chose.
        shape: the sizes.

    Raises:
        SettingError: settings that do not go together, or a name that is not known.
    """

    stateful: ClassVar[bool] = False
    """Whether ``step`` carries a state over time. The others keep the last T rows and call ``forward``."""

    def __init__(self, settings: ForecasterSettings, shape: Shape) -> None:
        super().__init__()
        if settings.channels not in ("independent", "together"):
            raise SettingError(
                f'channels is "{settings.channels}"; allowed: independent, together', help="take one of the two"
            )
        self.shape = shape
        self.independent = settings.channels == "independent"
        self.width = 1 if self.independent else shape.channels
        """Channels in one sequence."""
        self.normalization = normalization(settings.normalization, shape.channels)

    @classmethod
    def from_settings(cls, settings: ForecasterSettings, shape: Shape) -> Self:
        """A new model with weights drawn from torch's generator."""
        return cls(settings, shape)

    def forward(self, values: Tensor, past: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """The forecast behind the last row of ``values``.

        Args:
            values: what is foretold, up to now, [B, T, C].
            past: covariates up to now, [B, T, P]; None where P is 0.
            known: covariates known in advance, of the look-back and the horizon, [B, T+F, K]; None where K is 0.

        Returns:
            [B, F, C, Q], of the type of ``values``; quantiles in the order in which the loss names them.

        Raises:
            ShapeError: an argument has another shape than said; names it.
        """
        self._check(values, past, known, self.shape.look_back)
        normal, remembered = self.normalization(values)
        forecast = self._forecast(normal, past, known).to(values.dtype)
        return self.normalization.undo(forecast, remembered)

    def training_output(
        self, values: Tensor, past: Tensor | None = None, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What a training compares: forecasts, and what came. ``S`` origins a window; here one, behind the look-back.

        Args:
            values: whole windows, look-back and horizon, [B, T+F, C].
            past: as in ``forward``.
            known: as in ``forward``.

        Returns:
            prediction: [B, S, F, C, Q].
            target: [B, S, F, C].
        """
        look_back = self.shape.look_back
        prediction = self(values[:, :look_back], past, known)
        return prediction.unsqueeze(1), values[:, look_back:].unsqueeze(1)

    def step(
        self, values: Tensor, state: Any = None, past: Tensor | None = None, known: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """One row in, a forecast out: what ``forward`` gives for all rows since the state was None.

        Args:
            values: the row, [B, C].
            state: what the step before returned; None: this row is the first.
            past: [B, P]; None where P is 0.
            known: of this row and the F after it, [B, 1+F, K]; None where K is 0.

        Returns:
            [B, F, C, Q], and the state.

        Raises:
            SettingError: the model carries no state.
        """
        raise SettingError(
            f"{type(self).__name__} carries no state from row to row",
            help=f"keep the last {self.shape.look_back} rows and call forward",
        )

    def _forecast(self, values: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
        """``forward`` with values [B, T, C] that are normalised, and a forecast [B, F, C, Q] in the same units."""
        raise NotImplementedError

    # --- sequences ----------------------------------------------------------------------------------------------------

    def _check(self, values: Tensor, past: Tensor | None, known: Tensor | None, rows: int) -> None:
        shape = self.shape
        batch = check("values", values, "B T C", T=rows, C=shape.channels)["B"]
        for name, given, count, width in (
            ("past", past, rows, shape.past),
            ("known", known, rows + shape.horizon, shape.known),
        ):
            if width or given is not None:
                check(name, values[:, :, :0] if given is None else given, "B T X", B=batch, T=count, X=width)

    def sequences(self, values: Tensor) -> Tensor:
        """[B, T, C] as the sequences that are read: [B*C, T, 1], or [B, T, C] where all channels are read together."""
        if not self.independent:
            return values
        batch, time, channels = values.shape
        return values.transpose(1, 2).reshape(batch * channels, time, 1)

    def for_each_sequence(self, covariates: Tensor) -> Tensor:
        """Covariates [B, ...] for the sequences: [B*C, ...], the same for all channels of a row."""
        if not self.independent or self.shape.channels == 1:
            return covariates
        return covariates.repeat_interleave(self.shape.channels, dim=0)

    def by_channel(self, output: Tensor) -> Tensor:
        """Outputs of sequences, [B*C, F, Q] or [B, F, C*Q], as a forecast [B, F, C, Q]."""
        horizon, channels = output.shape[1], self.shape.channels
        if not self.independent:
            return output.reshape(-1, horizon, channels, self.shape.quantiles)
        return output.reshape(-1, channels, horizon, self.shape.quantiles).transpose(1, 2)


class KnownEffect(nn.Module):
    """What the covariates of a step to come add to its forecast: a linear map, the same for all steps."""

    def __init__(self, model: Forecaster) -> None:
        super().__init__()
        self.output = (model.shape.channels, model.shape.quantiles)
        self.linear = nn.Linear(model.shape.known, model.shape.channels * model.shape.quantiles, bias=False)

    def forward(self, known: Tensor) -> Tensor:
        """[..., K] to [..., C, Q]."""
        effect: Tensor = self.linear(known)
        return effect.view(*known.shape[:-1], *self.output)


def joined(parts: list[Tensor | None]) -> Tensor:
    """The tensors that are there, side by side in the last axis."""
    there = [part for part in parts if part is not None]
    return there[0] if len(there) == 1 else torch.cat(there, dim=-1)
