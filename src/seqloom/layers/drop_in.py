"""``torch.nn.RNN``, ``GRU`` and ``LSTM`` by another name: faster on a CPU, and able to do more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqloom.errors import SettingError, ShapeError
from seqloom.kernels import Lengths
from seqloom.layers.packing import Layout, pack, unpack
from seqloom.layers.recurrent import Recurrent
from seqloom.layers.states import State, add_batch, as_tuple, drop_batch, one_or_all
from seqloom.shapes import check

__all__ = ["GRU", "LSTM", "RNN"]


class _DropIn(Recurrent):
    """What torch's layers take beyond ``Recurrent``: input without a batch, and packed sequences, in and out."""

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Tensor | None = None,
        all_states: bool = False,
    ) -> tuple[Any, ...]:
        """As in torch: ``output, h_n``, or ``output, (h_n, c_n)``; the arguments by keyword are beyond torch.

        Args:
            input: [T, B, I], [B, T, I] with ``batch_first``, [T, I] for one sequence, or a PackedSequence.
            hx: the states before the first step, [L*D, B, H] ([L*D, H] for one sequence); None: zeros.
            lengths: the length of each row of a padded input, [B], in any order, each from 0 to T; None: all are T.
                Nothing is read from padding, the output there is zero, and the last states are those at each row's end.
            resets: bool [T, B], [B, T] with ``batch_first``, [T] for one sequence: True where a new sequence begins, so
                that nothing of what came before is seen from there on (in the reverse direction: nothing of what comes
                after is seen before it). At a row's first step it also drops ``hx``.
            all_states: return the states of all layers and directions after each step too.

        Returns:
            output: [T, B, D*H] of the last layer ([B, T, D*H] with ``batch_first``, [T, D*H] for one sequence); packed
                where the input is.
            h_n: after the last step of each row, [L*D, B, H] ([L*D, H] for one sequence); for the LSTM (h_n, c_n).
            steps: with ``all_states``, as ``h_n`` but with an axis of time: [L*D, T, B, H] ([L*D, B, T, H] with
                ``batch_first``, [L*D, T, H] for one sequence). Of a packed input, padded, rows in the order of ``hx``.

        Raises:
            ShapeError: an argument has another shape, type or device than said; names it.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ShapeError("lengths must not be given with a PackedSequence, which has its own")
            return self._packed(input, hx, resets, all_states)
        if input.dim() == 2:
            return self._one_sequence(input, hx, lengths, resets, all_states)
        return super().forward(input, hx, lengths=lengths, resets=resets, all_states=all_states)

    def _packed(
        self, input: PackedSequence, hx: State | None, resets: Tensor | None, all_states: bool
    ) -> tuple[Any, ...]:
        data, batch_sizes, order, back = input
        check("input.data", data, "N I", I=self.input_size)
        layout = Layout.of(batch_sizes, data.device)
        padded = unpack(data, layout)  # [T, B, I], rows from the longest to the shortest
        if hx is not None and order is not None:
            sizes = {"L*D": len(self._all_weights), "B": layout.batch, "H": self.hidden_size}
            for each in as_tuple(hx):
                check("hx", each, "L*D B H", **sizes)
            hx = tuple(each.index_select(1, order) for each in as_tuple(hx))
        if resets is not None:
            resets = self._batch_first_resets(resets, padded.transpose(0, 1) if self.batch_first else padded)
            resets = resets if order is None else resets.index_select(0, order)
        output, last, *steps = self._scan(padded, hx, layout.lengths, resets, all_states, time_first=True)
        if back is not None:
            last = tuple(each.index_select(1, back) for each in last)
            steps = [tuple(each.index_select(2, back) for each in states) for states in steps]
        if self.batch_first:
            steps = [tuple(each.transpose(1, 2) for each in states) for states in steps]
        packed = PackedSequence(pack(output, layout), batch_sizes, order, back)
        return packed, one_or_all(last), *map(one_or_all, steps)

    def _one_sequence(
        self, input: Tensor, hx: State | None, lengths: Lengths | None, resets: Tensor | None, all_states: bool
    ) -> tuple[Any, ...]:
        batch = 0 if self.batch_first else 1
        if resets is not None:
            check("resets", resets, "T", T=input.shape[0])
            resets = resets.unsqueeze(batch)
        output, last, *steps = super().forward(
            input.unsqueeze(batch), add_batch(hx), lengths=lengths, resets=resets, all_states=all_states
        )
        results = [output.squeeze(batch), drop_batch(last)]
        return *results, *(drop_batch(states, 1 + batch) for states in steps)

    def extra_repr(self) -> str:
        return super().extra_repr().removeprefix(f"{self.cell.name}, ")


class RNN(_DropIn):
    """``torch.nn.RNN`` by another name: same constructor, same call, state dictionaries exchangeable.

    The equations are in ``seqloom.cells.elman``. The arguments after ``dtype``, by keyword only, are beyond torch; all
    are described in ``seqloom.layers.recurrent.Recurrent``.

    >>> layer = RNN(3, 5, nonlinearity="relu")
    >>> output, h_n = layer(torch.ones(7, 2, 3))
    >>> output.shape, h_n.shape
    (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]))
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
        *,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        precision: str = "float32",
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
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            precision=precision,
            device=device,
            dtype=dtype,
        )

    @property
    def nonlinearity(self) -> str:
        """The activation: tanh or relu."""
        return self.cell.nonlinearity


class GRU(_DropIn):
    """``torch.nn.GRU`` by another name: same constructor, same call, state dictionaries exchangeable.

    The equations are in ``seqloom.cells.gru``. The arguments after ``dtype``, by keyword only, are beyond torch; all
    are described in ``seqloom.layers.recurrent.Recurrent``.

    >>> layer = GRU(3, 5, batch_first=True)
    >>> output, h_n = layer(torch.ones(2, 7, 3), lengths=[7, 4])
    >>> output.shape, h_n.shape
    (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]))
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
        *,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        precision: str = "float32",
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
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            precision=precision,
            device=device,
            dtype=dtype,
        )


class LSTM(_DropIn):
    """``torch.nn.LSTM`` by another name: same constructor, same call, state dictionaries exchangeable.

    The equations are in ``seqloom.cells.lstm``. The arguments after ``dtype``, by keyword only, are beyond torch; all
    are described in ``seqloom.layers.recurrent.Recurrent``. Projections are not supported.

    >>> layer = LSTM(3, 5, num_layers=2)
    >>> output, (h_n, c_n) = layer(torch.ones(7, 2, 3))
    >>> output.shape, h_n.shape, c_n.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]), torch.Size([2, 2, 5]))

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
        *,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        precision: str = "float32",
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
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            precision=precision,
            device=device,
            dtype=dtype,
        )
