"""Scans to be run in several ways: distinct non-zero states, odd sizes, ragged lengths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqloom import kernels
from seqloom.kernels import Options, Recurrence, Weights
from seqloom.parts import part

CELLS = [("elman", "tanh"), ("elman", "relu"), ("gru", "tanh"), ("lstm", "tanh")]
CELL_IDS = ["-".join(cell) for cell in CELLS]
LENGTHS = [3, 7, 1, 0, 6]
OPTIONS = ["plain", "fresh", "mask", "rates", "marks", "all"]


@dataclass
class Problem:
    """A cell, what it reads, and what is wanted beyond torch."""

    cell: Recurrence
    input: Tensor
    state: tuple[Tensor, ...]
    weights: Weights
    options: Options

    @property
    def leaves(self) -> list[Tensor]:
        return [leaf for leaf in (self.input, *self.state, *self.weights) if leaf is not None]

    def run(self, route=kernels.scan, lengths=None, reverse=False, options=None):
        """The output, the last states and, if they are asked for, the states after each step, in one list."""
        lengths = torch.tensor(lengths) if isinstance(lengths, list) else lengths
        options = self.options if options is None else options
        output, last, *steps = route(self.cell, self.input, self.state, self.weights, lengths, reverse, options)
        return [output, *last, *(steps[0] if steps else ())]


def make(
    name,
    nonlinearity="tanh",
    *,
    batch=5,
    time=7,
    features=3,
    hidden=9,
    dtype=torch.float64,
    seed=0,
    bias=True,
    gain=0.5,
):
    """A plain problem; all that goes in asks for gradients. Weights shrink with their rows, as a layer's do."""
    cell = part("cells", name)(nonlinearity)
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        return values.to(dtype).requires_grad_()

    rows = cell.gates * hidden
    state = tuple(draw(batch, hidden, scale=0.5) for _ in cell.states)
    matrices = draw(rows, features, scale=gain / features**0.5), draw(rows, hidden, scale=gain / hidden**0.5)
    biases = (draw(rows, scale=0.3), draw(rows, scale=0.3)) if bias else (None, None)
    return Problem(cell, draw(batch, time, features), state, Weights(*matrices, *biases), Options())


def options(problem, which, *, all_states=True, seed=0):
    """Options of one kind, or all that go together."""
    generator = torch.Generator().manual_seed(seed)
    batch, time, _ = problem.input.shape
    hidden, states = problem.weights.hh.shape[1], len(problem.state)

    def chance(share: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) < share

    everything = {
        "fresh": {"fresh": chance(0.3, batch, time)},
        "mask": {"dropout_mask": chance(0.7, batch, hidden).to(problem.input.dtype) * 1.25},
        "rates": {"zoneout": (0.25, 0.125)[:states]},
        "marks": {"zoneout_marks": tuple(chance(0.3, batch, time, hidden) for _ in range(states))},
    }
    given = {"plain": [], "all": ["fresh", "mask", "marks"]}.get(which, [which])
    return Options(**{key: value for one in given for key, value in everything[one].items()}, all_states=all_states)


def gradients(results, leaves, **how):
    """Of a sum that weighs every element of all results differently."""
    total = sum((part * torch.linspace(-1, 2, part.numel(), dtype=part.dtype).view_as(part)).sum() for part in results)
    return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True, **how)


def assert_close(given, wanted, rtol=1e-10, atol=1e-12):
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


def assert_equal(given, wanted):
    """To the bit."""
    for one, other in zip(given, wanted, strict=True):
        assert torch.equal(one, other), (one - other).abs().max()


def assert_near(given, wanted, relative):
    """In relative L2: single elements can be sums that nearly cancel."""
    for one, other in zip(given, wanted, strict=True):
        distance = (one.double() - other.double()).norm()
        assert distance <= relative * other.double().norm(), f"{distance / other.double().norm():.2e} of {relative}"
