"""What the ways to run a cell over time take and give: all that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

__all__ = ["PLAIN", "Lengths", "Options", "Recurrence", "Result", "Route", "State", "Weights"]

State = tuple[Tensor, ...]
"""One [B, H] for each of the cell's states."""

Lengths = Tensor | Sequence[int]
"""The length of each row, [B], integers from 0 to T, in any order."""

Result = tuple[Tensor, State] | tuple[Tensor, State, State]
"""The output and the states after the last step; and, with ``all_states``, the states after each step."""


class Weights(NamedTuple):
    """The weights of one layer in one direction; rows of gates in the cell's ``gate_order``."""

    ih: Tensor  # [G*H, I]
    hh: Tensor  # [G*H, H]
    bias_ih: Tensor | None = None  # [G*H]
    bias_hh: Tensor | None = None  # [G*H]


class Options(NamedTuple):
    """What a scan can do beyond torch; of one layer in one direction.

    Attributes:
        fresh: bool [B, T]: the state is zero before step t of row b, in the order in which the scan reads.
        dropout_mask: [B, H], a factor on h where it enters the product with ``weight_hh``, the same at every step:
            variational dropout (Y. Gal, Z. Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent
            Neural Networks", arXiv:1512.05287v5). The h that is carried on and put out is not masked.
        zoneout: one rate for each state, from 0 to 1: new = rate * before + (1 - rate) * proposed, the expectation of
            zoneout (D. Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations",
            arXiv:1606.01305v4); empty for none. An LSTM's proposed h comes of its proposed c.
        zoneout_marks: bool [B, T, H] for each state: True keeps the state of before, and the rates are not used.
        all_states: return the states after each step too.
        precision: of the products. "float32": that of the arrays. "bfloat16": float32 arrays may be rounded to
            bfloat16 where they enter a product; sums and states stay float32. Compiled code alone makes use of it.
    """

    fresh: Tensor | None = None
    dropout_mask: Tensor | None = None
    zoneout: tuple[float, ...] = ()
    zoneout_marks: tuple[Tensor, ...] = ()
    all_states: bool = False
    precision: str = "float32"

    @property
    def beyond_torch(self) -> bool:
        """Whether anything is wanted but the output and the last states, of whatever precision."""
        masked = self.fresh is not None or self.dropout_mask is not None or bool(self.zoneout_marks)
        return masked or self.all_states or any(self.zoneout)


PLAIN = Options()


class Recurrence(Protocol):
    """What the kernels see of a cell; ``cells.base.Cell`` is one."""

    @property
    def name(self) -> str: ...
    @property
    def gates(self) -> int: ...
    @property
    def states(self) -> tuple[str, ...]: ...
    @property
    def nonlinearity(self) -> str: ...
    def step(
        self,
        input: Tensor,
        state: State,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
    ) -> State: ...


class Route(Protocol):
    """One way to run a cell over time, called with checked arguments.

    Args:
        cell: the cell.
        input: [B, T, I] with B, T > 0; anything at all, NaN too, where t >= lengths[b].
        state: one [B, H] for each of the cell's states.
        weights: of this layer and direction.
        lengths: int64 [B] on the input's device, or None: all are T.
        reverse: each row is read from its own last step to its first.
        options: what is wanted beyond this.

    Returns:
        output: [B, T, H], the first state after each step, in the order of the input; zero where t >= lengths[b].
        state: after the last step of each row (reverse: after its first); as given where the length is 0.
        steps: with ``all_states`` alone: each state after each step, [B, T, H], zero where t >= lengths[b].
    """

    def __call__(
        self,
        cell: Recurrence,
        input: Tensor,
        state: State,
        weights: Weights,
        lengths: Tensor | None,
        reverse: bool,
        options: Options = PLAIN,
    ) -> Result: ...
