from collections.abc import Callable
from typing import Any

from torch import Tensor

def choose_isa(wanted: str) -> str: ...
def supported_isas() -> list[str]: ...
def sigmoid(input: Any, output: Any, isa: str = ...) -> None: ...
def tanh(input: Any, output: Any, isa: str = ...) -> None: ...
def has_torch() -> bool: ...
def memory(wide: bool, sizes: tuple[int, ...], /) -> Tensor: ...
def stash_size(cell: str, isa: str, precision: str, hidden: int, /) -> int: ...

class Packed:
    """The weights of one layer and direction in the kernels' own order.

    Arrays are given by their addresses, ``tensor.data_ptr()``, 0 for none; strides count elements. csrc/scan.hpp has
    their shapes, and says which may be 0. The arguments of the passes are those that kernels/calls.py puts together;
    others than bind/packed_weights.cpp takes are a TypeError.
    """

    def __init__(
        self,
        cell: str,
        isa: str,
        precision: str,
        inputs: int,
        hidden: int,
        weight_ih: int,
        weight_hh: int,
        bias_ih: int,
        bias_hh: int,
        threads: int,
        /,
    ) -> None: ...
    def matches(
        self, weight_ih: int, weight_hh: int, bias_ih: int, bias_hh: int, whole: bool, threads: int, /
    ) -> bool: ...
    @property
    def whole_from(self) -> int: ...
    def stash_size(self, batch: int, time: int, /) -> int: ...
    def forward(self, arguments: tuple[Any, ...], /) -> None: ...
    def backward(self, arguments: tuple[Any, ...], /) -> None: ...

def forward_both(
    packed: Packed, arguments: tuple[Any, ...], other: Packed, other_arguments: tuple[Any, ...], /
) -> None: ...
def backward_both(
    packed: Packed, arguments: tuple[Any, ...], other: Packed, other_arguments: tuple[Any, ...], /
) -> None: ...

class Ready:
    """A layer that was looked at once, to be called again and again; None comes of a call that is not plain.

    ``parameters`` is where the module has its own: each call sees whether they are the same tensors still. Where
    gradients are wanted, it calls ``learn(packed, input, state, weights, time_first)``, each a layer's in its list.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        weights: list[Any],
        kept: list[Any],
        learn: Callable[[list[Packed], Tensor, Any, list[Any], bool], tuple[Tensor, Any]],
        states: int,
        rate_0: float,
        rate_1: float,
        /,
    ) -> None: ...
    def forward(self, input: Tensor, state: Any, time_first: bool, /) -> tuple[Tensor, Any] | None: ...
    def step(self, x: Tensor, state: Any, /) -> tuple[Tensor, Any] | None: ...
