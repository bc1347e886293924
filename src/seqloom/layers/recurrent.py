"""Recurrent layers: a cell stacked in layers and directions, and drop-ins for torch's RNN, GRU and LSTM."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqloom import kernels
from seqloom.cells.base import Cell
from seqloom.errors import SettingError, ShapeError
from seqloom.kernels import Lengths, Weights
from seqloom.parts import part

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "State"]

State = Tensor | tuple[Tensor, ...]
"""[L*D, B, H]; a tuple of them, in the order of the cell's ``states``, where the cell has more than one."""


class Recurrent(nn.Module):
    """Any cell, by name, stacked in layers and directions.

    Parameters, their names (``weight_ih_l0``, ``bias_hh_l1_reverse``), their order and their initial values under a
    seed are those of ``torch.nn.RNN``, ``GRU`` and ``LSTM``: state dictionaries can be exchanged with them.

    Args:
        cell: the name of a cell, one of ``seqloom.parts.names("cells")``.
        input_size: I, the features of the input.
        hidden_size: H, the units of each layer and direction.
        num_layers: L.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: input and output are [B, T, ...], not [T, B, ...]; states are [L*D, B, H] either way.
        dropout: the share of outputs set to zero between layers, in training; nothing with one layer.
        bidirectional: each layer reads both ways: D is 2.
        nonlinearity: the activation of cells that let it be chosen.
        device: where the parameters are made.
        dtype: the type of the parameters.

    Raises:
        SettingError: an unknown cell or nonlinearity, or a size out of range.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.cell: Cell = part("cells", cell)(nonlinearity)
        self.input_size = _positive("input_size", input_size)
        self.hidden_size = _positive("hidden_size", hidden_size)
        self.num_layers = _positive("num_layers", num_layers)
        self.bias = bias
        self.batch_first = batch_first
        if not 0 <= dropout <= 1:
            raise SettingError(f"dropout must be from 0 to 1; given {dropout}")
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self._names: list[tuple[str, ...]] = []  # of the parameters of each layer and direction, as in Weights
        self._make_parameters(device, dtype)
        self.reset_parameters()

    def _make_parameters(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        rows = self.cell.gates * self.hidden_size
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            features = self.input_size if layer == 0 else directions * self.hidden_size
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, features), "weight_hh": (rows, self.hidden_size)}
            if self.bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for ending in ("", "_reverse")[:directions]:
                self._names.append(tuple(f"{kind}_l{layer}{ending}" for kind in shapes))
                for name, shape in zip(self._names[-1], shapes.values(), strict=True):
                    self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draws all parameters anew, uniformly from -1/sqrt(H) to 1/sqrt(H), as torch does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing; torch's layers have it, so code that calls it goes on working."""

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, as in torch's layers."""
        return [[getattr(self, name) for name in names] for names in self._names]

    def forward(
        self, input: Tensor, state: State | None = None, lengths: Lengths | None = None
    ) -> tuple[Tensor, State]:
        """Runs over all time steps.

        Args:
            input: [T, B, I], or [B, T, I] with ``batch_first``.
            state: the states before the first step; None: zeros.
            lengths: the length of each row, [B], in any order, each from 0 to T; None: all are T. Nothing is read from
                padding, and the reverse direction begins at each row's own last step.

        Returns:
            output: [T, B, D*H] (or [B, T, D*H]) of the last layer; zero beyond a row's length.
            state: after the last step of each row; as it was given where the length is 0.

        Raises:
            ShapeError: an argument has another shape, type or device than said; names it.
        """
        if input.dim() != 3:
            axes = "[B, T, I]" if self.batch_first else "[T, B, I]"
            raise ShapeError(f"input must be {axes}, 3 axes; given {list(input.shape)}, {input.dim()} axes")
        if not self.batch_first:
            input = input.transpose(0, 1)
        output, last = kernels.stack(
            self.cell,
            input,
            self._before(state, input),
            [Weights(*weights) for weights in self.all_weights],
            lengths,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            training=self.training,
        )
        return output if self.batch_first else output.transpose(0, 1), last if len(last) > 1 else last[0]

    def _before(self, state: State | None, input: Tensor) -> tuple[Tensor, ...]:
        """The states before the first step, always as a tuple."""
        if state is None:
            zeros = input.new_zeros(len(self._names), input.shape[0], self.hidden_size)
            return (zeros,) * len(self.cell.states)
        if isinstance(state, Tensor):
            state = (state,)
        if len(state) != len(self.cell.states):
            wanted = "a tensor" if len(self.cell.states) == 1 else f"a tuple ({', '.join(self.cell.states)})"
            raise ShapeError(f"state of the cell {self.cell.name} must be {wanted}; given {len(state)} tensors")
        return tuple(state)

    def extra_repr(self) -> str:
        text = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        if self.num_layers > 1:
            text += f", num_layers={self.num_layers}"
        for name in ("batch_first", "bidirectional"):
            if getattr(self, name):
                text += f", {name}=True"
        if not self.bias:
            text += ", bias=False"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.cell.nonlinearity != "tanh":
            text += f", nonlinearity={self.cell.nonlinearity}"
        return text


class _DropIn(Recurrent):
    """What torch's layers take beyond ``Recurrent``: input without a batch, and packed sequences, in and out."""

    def forward(
        self, input: Tensor | PackedSequence, hx: State | None = None, lengths: Lengths | None = None
    ) -> tuple[Any, State]:
        """As in torch: ``output, h_n`` or ``output, (h_n, c_n)``.

        Args:
            input: [T, B, I], [B, T, I] with ``batch_first``, [T, I] for one sequence, or a PackedSequence.
            hx: the states before the first step, [L*D, B, H] ([L*D, H] for one sequence); None: zeros.
            lengths: beyond torch: the length of each row of a padded input, in any order.

        Returns:
            As ``Recurrent.forward``; a packed output for a packed input; [T, D*H] and [L*D, H] for one sequence.

        Raises:
            ShapeError: an argument has another shape, type or device than said; names it.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ShapeError("lengths must not be given with a PackedSequence, which has its own")
            return self._packed(input, hx)
        if input.dim() == 2:
            return self._one_sequence(input, hx, lengths)
        return super().forward(input, hx, lengths)

    def _packed(self, input: PackedSequence, hx: State | None) -> tuple[PackedSequence, State]:
        padded, lengths = pad_packed_sequence(input, batch_first=self.batch_first)
        output, state = super().forward(padded, hx, lengths)
        enforce_sorted = input.sorted_indices is None
        return pack_padded_sequence(output, lengths, self.batch_first, enforce_sorted=enforce_sorted), state

    def _one_sequence(self, input: Tensor, hx: State | None, lengths: Lengths | None) -> tuple[Tensor, State]:
        axis = 0 if self.batch_first else 1
        if hx is not None:
            states = (hx,) if isinstance(hx, Tensor) else hx
            if any(s.dim() != 2 for s in states):
                raise ShapeError(f"hx must be [L*D, H] for an input without a batch; given {list(states[0].shape)}")
            hx = tuple(s.unsqueeze(1) for s in states)
        output, state = super().forward(input.unsqueeze(axis), hx, lengths)
        last = state.squeeze(1) if isinstance(state, Tensor) else tuple(s.squeeze(1) for s in state)
        return output.squeeze(axis), last

    def extra_repr(self) -> str:
        return super().extra_repr().removeprefix(f"{self.cell.name}, ")


class RNN(_DropIn):
    """``torch.nn.RNN`` by another name: same constructor, same call, state dictionaries exchangeable.

    The equations are in ``seqloom.cells.elman``, the arguments in ``Recurrent``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            "elman",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            nonlinearity=nonlinearity,
            device=device,
            dtype=dtype,
        )


class GRU(_DropIn):
    """``torch.nn.GRU`` by another name: same constructor, same call, state dictionaries exchangeable.

    The equations are in ``seqloom.cells.gru``, the arguments in ``Recurrent``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            "gru",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )


class LSTM(_DropIn):
    """``torch.nn.LSTM`` by another name: same constructor, same call, state dictionaries exchangeable.

    The equations are in ``seqloom.cells.lstm``, the arguments in ``Recurrent``. Projections are not supported.

    Raises:
        SettingError: ``proj_size`` is not 0.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if proj_size:
            raise SettingError(f"proj_size must be 0; given {proj_size}", help="use torch.nn.LSTM for projections")
        super().__init__(
            "lstm",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )


def _positive(name: str, size: int) -> int:
    if size < 1:
        raise SettingError(f"{name} must be at least 1; given {size}")
    return size
