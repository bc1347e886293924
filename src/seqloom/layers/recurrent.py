"""Any cell, stacked in layers and directions: what a model is built of, and what torch's layers are made of here."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling, is_dynamo_compiling

from seqloom import kernels
from seqloom.cells.base import Cell
from seqloom.errors import SettingError, ShapeError
from seqloom.kernels import Lengths, Options, Weights
from seqloom.kernels.packed import forget
from seqloom.layers import arguments
from seqloom.layers.noise import connection_mask, dropout_mask, zoneout_marks
from seqloom.layers.ready import Ready, ready
from seqloom.layers.states import State, add_batch, as_tuple, drop_batch, one_or_all
from seqloom.parts import part
from seqloom.shapes import check

__all__ = ["Recurrent", "State"]

CUDNN_MODES = {"elman": "RNN_{}", "gru": "GRU", "lstm": "LSTM"}
"""Torch's names of the cells that cuDNN has."""


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
        recurrent_dropout: in training, the share of each layer's state that is hidden from the product with
            ``weight_hh``: a mask for each row, drawn anew at each call and the same at all its steps (Gal and
            Ghahramani 2016). What is carried on and put out is whole.
        weight_dropout: in training, the share of ``weight_hh`` set to zero, drawn anew at each call (DropConnect: Wan
            et al. 2013; on recurrent weights: Merity et al. 2018, arXiv:1708.02182). The rest is scaled up.
        zoneout: the chance that a unit keeps its state over a step, in training; in evaluation the new state is the
            mean: that share of the old one and the rest of the new one (Krueger et al. 2017). One rate for all states
            or one for each. In the LSTM, h is made of the c that the step proposes, kept or not.
        precision: "float32": products in the type of the weights; "bfloat16": products of bfloat16 numbers, with sums
            and states in float32.
        device: where the parameters are made.
        dtype: the type of the parameters.

    Raises:
        SettingError: an unknown cell, nonlinearity or precision, or a size or rate out of range.
    """

    # What a layer does that was torch's until ``accelerate`` came by: nothing beyond torch.
    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: tuple[float, ...] = ()
    precision: str = "float32"
    _ready: Ready | None = None

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
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.cell: Cell = part("cells", cell)(nonlinearity)
        self.input_size = arguments.whole("input_size", input_size)
        self.hidden_size = arguments.whole("hidden_size", hidden_size)
        self.num_layers = arguments.whole("num_layers", num_layers)
        self.bias = arguments.flag("bias", bias)
        self.batch_first = arguments.flag("batch_first", batch_first)
        self.dropout = arguments.rate("dropout", dropout)
        self.bidirectional = arguments.flag("bidirectional", bidirectional)
        self.recurrent_dropout = arguments.rate("recurrent_dropout", recurrent_dropout)
        self.weight_dropout = arguments.rate("weight_dropout", weight_dropout)
        self.zoneout = arguments.rates("zoneout", zoneout, self.cell.states)
        self.precision = arguments.precision("precision", precision, dtype or torch.get_default_dtype())
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"dropout={dropout} does nothing with num_layers=1: it acts between layers, not after the last one",
                stacklevel=2 if type(self) is Recurrent else 3,
            )
        self._all_weights: list[list[str]] = []  # names, of each layer and direction, in the order of Weights
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
                self._all_weights.append([f"{kind}_l{layer}{ending}" for kind in shapes])
                for name, shape in zip(self._all_weights[-1], shapes.values(), strict=True):
                    self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draws all parameters anew, uniformly from -1/sqrt(H) to 1/sqrt(H), as torch does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(
        self,
        input: Tensor,
        state: State | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Tensor | None = None,
        all_states: bool = False,
    ) -> tuple[Any, ...]:
        """Runs over all time steps.

        Args:
            input: [T, B, I], or [B, T, I] with ``batch_first``.
            state: the states before the first step; None: zeros.
            lengths: the length of each row, [B], in any order, each from 0 to T; None: all are T. Nothing is read from
                padding, and the reverse direction begins at each row's own last step.
            resets: bool [T, B], or [B, T] with ``batch_first``: True where a new sequence begins, so that nothing of
                what came before is seen from there on (in the reverse direction: nothing of what comes after is seen
                before it). At a row's first step it also drops ``state``.
            all_states: return ``steps`` too.

        Returns:
            output: [T, B, D*H] (or [B, T, D*H]) of the last layer; zero beyond a row's length.
            state: after the last step of each row; as it was given where the length is 0.
            steps: with ``all_states``, the states of all layers and directions after each step: [L*D, T, B, H] (or
                [L*D, B, T, H]), a tuple where the cell has more than one state; zero beyond a row's length.

        Raises:
            ShapeError: an argument has another shape, type or device than said; names it.
        """
        plain = lengths is None and resets is None and not all_states and not is_compiling()
        if plain and self._ready is not None:
            result = self._ready.forward(input, state, not self.batch_first)
            if result is not None:
                return result
        if input.dim() != 3 or input.shape[2] != self.input_size:
            check("input", input, "B T I" if self.batch_first else "T B I", I=self.input_size)
        if resets is not None:
            resets = self._batch_first_resets(resets, input)
        output, last, *steps = self._scan(input, state, lengths, resets, all_states, not self.batch_first)
        if plain:
            self._look()
        if not steps:
            return output, one_or_all(last)
        return output, one_or_all(last), one_or_all(steps[0])

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One time step, for streaming: what ``forward`` gives for a sequence of one step.

        A sequence fed step by step gives what one call of ``forward`` gives. With the compiled kernels (elman, gru and
        lstm in float32 or float64 on a CPU) it does so to the last bit, at every size of batch and number of threads:
        for each gate the products with the input, those with the state, and then the two together are summed in one
        order. Elsewhere the order is that of torch's matrix products, which may differ with the shape.

        Hooks are not called. Where no gradients are wanted, call it under ``torch.inference_mode()``.

        Args:
            x: [B, I], or [I] for one sequence.
            state: what the step before returned: [L*D, B, H] ([L*D, H] for one sequence); None: zeros.

        Returns:
            output: [B, H] of the last layer ([H] for one sequence).
            state: after the step.

        Raises:
            SettingError: the layer reads both ways; or it is in training with masks that are the same at all steps.
            ShapeError: an argument has another shape, type or device than said; names it.
        """
        looked = self._ready
        if looked is not None and not is_dynamo_compiling():
            result = looked.step(x, state)
            if result is not None:
                return result
        if self.bidirectional or (self.training and (self.recurrent_dropout or self.weight_dropout)):
            raise self._no_step()
        result = self._step(x, state)
        if not is_compiling():
            self._look()
        return result

    def _look(self) -> None:
        """Looks at the layer for the next call like this one, if that can be a short one."""
        self.__dict__["_ready"] = ready(self)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop("_ready", None)  # it knows the layer as it was
        super().__setattr__(name, value)

    def _step(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """``step`` the long way."""
        if x.dim() == 1:
            output, last = self._step(x.unsqueeze(0), add_batch(state))
            return output.squeeze(0), drop_batch(last)
        if x.dim() != 2 or x.shape[1] != self.input_size:
            check("x", x, "B I", I=self.input_size)
        output, states = self._scan(x.unsqueeze(1), state, None, None, False)
        return output.squeeze(1), one_or_all(states)

    def _no_step(self) -> SettingError:
        if self.bidirectional:
            return SettingError(
                "step needs one direction: the reverse one begins at the end",
                help="make the layer without bidirectional",
            )
        return SettingError(
            "step cannot draw the masks of recurrent_dropout and weight_dropout, which are the same at all steps",
            help="call eval() on the layer before streaming, or forward in training",
        )

    # --- from here to the kernels -------------------------------------------------------------------------------------

    def _scan(
        self,
        input: Tensor,
        state: State | None,
        lengths: Lengths | None,
        resets: Tensor | None,
        all_states: bool,
        time_first: bool = False,
    ) -> tuple[Any, ...]:
        """``forward`` with [B, T, ...] in and out, or [T, B, ...], whatever the layer's order; states in a tuple."""
        return kernels.stack(
            self.cell,
            input,
            self._before(state, input, input.shape[1 if time_first else 0]),
            self._weights(),
            lengths,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            training=self.training,
            resets=resets,
            options=self._options(input, all_states, time_first),
            time_first=time_first,
        )

    def _weights(self) -> list[Weights]:
        """Read anew at each call: any of them may have been replaced."""
        parameters: dict[str, Any] = self._parameters  # a look-up here costs a fifth of one through nn.Module
        try:
            weights = [Weights(*[parameters[name] for name in names]) for names in self._all_weights]
        except KeyError:  # parametrized, pruned, replicated: tensors under the same names, but no parameters
            weights = [Weights(*[getattr(self, name) for name in names]) for names in self._all_weights]
        if self.weight_dropout and self.training:
            return [one._replace(hh=one.hh * connection_mask(one.hh, self.weight_dropout)) for one in weights]
        return weights

    def _options(self, input: Tensor, all_states: bool, time_first: bool) -> list[Options] | None:
        """What each layer and direction does beyond torch; None: nothing."""
        if not (all_states or self.recurrent_dropout or self.zoneout or self.precision != "float32"):
            return None
        mean = () if self.training else self.zoneout
        fixed = Options(zoneout=mean, all_states=all_states, precision=self.precision)
        if not (self.training and (self.recurrent_dropout or self.zoneout)):
            return [fixed] * len(self._all_weights)
        hidden, rate = self.hidden_size, self.recurrent_dropout
        rows = input.transpose(0, 1) if time_first else input
        return [
            fixed._replace(
                dropout_mask=dropout_mask(rows, hidden, rate) if rate else None,
                zoneout_marks=zoneout_marks(rows, hidden, self.zoneout),
            )
            for _ in self._all_weights
        ]

    def _before(self, state: State | None, input: Tensor, batch: int) -> tuple[Tensor, ...]:
        """The states before the first step, always as a tuple."""
        if state is None:
            zeros = input.new_zeros(len(self._all_weights), batch, self.hidden_size)
            return (zeros,) * len(self.cell.states)
        state = as_tuple(state)
        if len(state) != len(self.cell.states):
            wanted = "a tensor" if len(self.cell.states) == 1 else f"a tuple ({', '.join(self.cell.states)})"
            raise ShapeError(f"state of the cell {self.cell.name} must be {wanted}; given {len(state)} tensors")
        return state

    def _batch_first_resets(self, resets: Tensor, input: Tensor) -> Tensor:
        """[B, T], checked against an input in the layer's order."""
        sizes = dict(zip("BT" if self.batch_first else "TB", input.shape, strict=False))
        check("resets", resets, " ".join(sizes), **sizes)
        return resets if self.batch_first else resets.transpose(0, 1)

    # --- what code written for torch's layers reads -------------------------------------------------------------------

    proj_size = 0

    @property
    def mode(self) -> str:
        """Torch's name of the cell: RNN_TANH, RNN_RELU, GRU or LSTM; of other cells their own name."""
        return CUDNN_MODES.get(self.cell.name, self.cell.name).format(self.cell.nonlinearity.upper())

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[nn.Parameter]:
        return [weight for weights in self.all_weights for weight in weights]

    def flatten_parameters(self) -> None:
        """On CUDA, lays the parameters side by side in memory, as cuDNN wants them; elsewhere does nothing."""
        if self.cell.name in CUDNN_MODES:
            nn.RNNBase.flatten_parameters(self)  # type: ignore[arg-type]  # reads the names above and no others

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Recurrent:
        self._forget()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._forget()
        super()._load_from_state_dict(*arguments)

    def _forget(self) -> None:
        """Parameters may be about to change places with others, which torch refuses where weak references are held."""
        self.__dict__.pop("_ready", None)
        forget(each for each in self._parameters.values() if each is not None)

    def extra_repr(self) -> str:
        text = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        defaults: dict[str, Any] = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        defaults |= {"recurrent_dropout": 0.0, "weight_dropout": 0.0, "zoneout": (), "precision": "float32"}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        if self.cell.nonlinearity != "tanh":
            text += f", nonlinearity={self.cell.nonlinearity}"
        return text
