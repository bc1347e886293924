"""What every cell is: the equation of one time step, readable, and the judge of every faster way to run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from seqloom.errors import SettingError, nearest

__all__ = ["Cell"]


class Cell(ABC):
    """One recurrence. A cell holds no weights: a layer owns them, ``kernels.scan`` runs the cell over time.

    A cell is a file, ``cells/x.py``, that says ``PART = XCell``. Its docstring has the equations, the source and the
    order of the gates; that order is the order in which the gates' rows lie in the weights.

    Args:
        nonlinearity: the activation of the new values, one of ``nonlinearities``.

    Raises:
        SettingError: the cell has no such nonlinearity.
    """

    gate_order: ClassVar[tuple[str, ...]]
    """The gates, in the order of their rows in ``weight_ih`` and ``weight_hh``; the length is G."""

    states: ClassVar[tuple[str, ...]] = ("h",)
    """The names of the states carried over time, each ``[B, H]``; the first one is the cell's output."""

    nonlinearities: ClassVar[tuple[str, ...]] = ("tanh",)
    """The activations that can be chosen; the first is the default."""

    name: ClassVar[str]
    """The file's name: ``gru`` for ``cells/gru.py``."""

    gates: ClassVar[int]
    """G, the number of gates."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = cls.__module__.rpartition(".")[2].replace("_", "-")
        cls.gates = len(cls.gate_order)

    def __init__(self, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in self.nonlinearities:
            raise SettingError(
                f'nonlinearity "{nonlinearity}" is not one that the cell {self.name} has',
                help=nearest(nonlinearity, self.nonlinearities),
            )
        self.nonlinearity = nonlinearity

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.nonlinearity!r})"

    @abstractmethod
    def step(
        self,
        input: Tensor,
        state: tuple[Tensor, ...],
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """One time step.

        Args:
            input: [B, I].
            state: the states before this step, each [B, H], as named in ``states``.
            weight_ih: [G*H, I].
            weight_hh: [G*H, H].
            bias_ih: [G*H], or None for none.
            bias_hh: [G*H], or None for none.

        Returns:
            The states after this step, each [B, H].
        """
