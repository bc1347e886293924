"""Two other ways to run a layer, in double precision: by hand, a row and a step at a time; and as torch's own."""

from __future__ import annotations

import sys

import pytest
import torch

from seqloom import kernels
from seqloom.layers.recurrent import Recurrent

DOUBLE = {"dtype": torch.float64}


@pytest.fixture(scope="session")
def hand():
    """The functions of this file."""
    return sys.modules[__name__]


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def marks(*places, batch=5, time=7):
    resets = torch.zeros(batch, time, dtype=torch.bool)
    for place in places:
        resets[place] = True
    return resets


RESETS = marks((0, 2), (1, 0), (1, 3), (1, 4), (3, 5), (4, 1), (4, 4))
"""For rows of LENGTHS: in the middle, at the first step, twice in a row, at the last step, behind a row's end."""
LENGTHS = [3, 7, 1, 6, 2]


def make(name, batch=5, time=7, **options):
    """A layer with an input [B, T, I] and distinct states; all ask for gradients."""
    torch.manual_seed(3)
    layer = Recurrent(name, 3, 9, **DOUBLE, **options)
    x = torch.randn(batch, time, 3, **DOUBLE).requires_grad_()
    shape = (len(layer.all_weights), batch, 9)
    return layer, x, tuple(torch.randn(shape, **DOUBLE).requires_grad_() for _ in layer.cell.states)


def call(layer, x, states, resets=None, **arguments):
    """The layer, whatever its order of axes, from [B, T, I]: output [B, T, D*H], last states, steps [L*D, B, T, H]."""
    state = states if len(states) > 1 else states[0]
    if layer.batch_first:
        return [
            each if n == 0 else as_tuple(each) for n, each in enumerate(layer(x, state, resets=resets, **arguments))
        ]
    resets = None if resets is None else resets.T
    output, last, *steps = layer(x.transpose(0, 1), state, resets=resets, **arguments)
    return [
        output.transpose(0, 1),
        as_tuple(last),
        *(tuple(s.transpose(1, 2) for s in as_tuple(all_)) for all_ in steps),
    ]


def one_way(cell, row, read, state, length, reverse, weights, options, resets):
    """One row [T, F] in one direction, states [1, H]: the states after each step, and after the last."""
    ih, hh, *biases = weights
    if options.dropout_mask is not None:
        hh = hh * options.dropout_mask[row]
    after = [tuple(torch.zeros_like(each) for each in state)] * len(read)
    for t in reversed(range(length)) if reverse else range(length):
        mark = t + 1 if reverse else t  # between this step and the one that was read before it
        if resets is not None and mark < length and resets[row, mark]:
            state = tuple(torch.zeros_like(each) for each in state)
        proposed = cell.step(read[t : t + 1], state, ih, hh, *(biases or (None, None)))
        kept = options.zoneout or (0.0,) * len(state)
        if options.zoneout_marks:
            kept = [each[row, t].double() for each in options.zoneout_marks]
        state = tuple(k * old + (1 - k) * new for k, old, new in zip(kept, state, proposed, strict=True))
        after[t] = state
    return after, state


def by_hand(layer, x, states, lengths=None, resets=None, weights=None, options=None):
    """What ``call`` gives with all states: each row alone, each step by the cell's own equation."""
    weights = weights or layer.all_weights
    options = options or [kernels.Options()] * len(weights)
    directions = 2 if layer.bidirectional else 1
    outputs, last, steps = [], [[] for _ in weights], [[] for _ in weights]
    for row, length in enumerate(lengths or [x.shape[1]] * x.shape[0]):
        read = x[row]  # [T, F]
        for above in range(0, len(weights), directions):
            beside = []
            for n in range(above, above + directions):
                before = tuple(each[n, row : row + 1] for each in states)
                of_n = (weights[n], options[n], resets)
                after, end = one_way(layer.cell, row, read, before, length, n > above, *of_n)
                over_time = tuple(torch.cat(parts) for parts in zip(*after, strict=True))  # [T, H] each
                steps[n].append(over_time)
                last[n].append(end)
                beside.append(over_time[0])
            read = torch.cat(beside, dim=1)
        outputs.append(read)
    each_state = range(len(states))
    last = tuple(torch.stack([torch.cat([row[s] for row in rows]) for rows in last]) for s in each_state)
    steps = tuple(torch.stack([torch.stack([row[s] for row in rows]) for rows in steps]) for s in each_state)
    return [torch.stack(outputs), last, steps]


def assert_same(given_, wanted, leaves, wanted_leaves=None):
    """Every result, and the gradients of everything that went in, each element weighed differently."""
    found = []
    for results, sources in ((given_, leaves), (wanted, wanted_leaves or leaves)):
        parts = [part for each in results for part in as_tuple(each)]
        total = sum((part * torch.linspace(-1, 2, part.numel(), **DOUBLE).view_as(part)).sum() for part in parts)
        found.append((parts, torch.autograd.grad(total, sources, retain_graph=True, materialize_grads=True)))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


# --- beside torch -----------------------------------------------------------------------------------------------------


def pair(ours, torchs, **options):
    """Our layer and torch's with the same weights, taken over from torch's state dictionary."""
    torch.manual_seed(3)
    theirs = torchs(3, 9, **DOUBLE, **options)
    mine = ours(3, 9, **DOUBLE, **options)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def inputs(layer, batch=5, time=7):
    """An input in the layer's order and distinct states, as torch's layers take them; all ask for gradients."""
    torch.manual_seed(4)
    shape = (batch, time, 3) if layer.batch_first else (time, batch, 3)
    states = tuple(torch.randn(len(layer.all_weights), batch, 9, **DOUBLE).requires_grad_() for _ in layer.cell.states)
    return torch.randn(shape, **DOUBLE).requires_grad_(), states if len(states) > 1 else states[0]


def assert_as_torch(one, other, leaves, mine, theirs):
    """As ``assert_same``, of two layers, by their own parameters."""
    assert_same(one, other, [*leaves, *mine.parameters()], [*leaves, *theirs.parameters()])


# --- what goes to the kernels -----------------------------------------------------------------------------------------


class Seen:
    """The weights and options that a layer gives to the kernels, call by call."""

    def __init__(self, monkeypatch):
        self.weights, self.options = [], []
        stack = kernels.stack

        def spy(cell, input, state, weights, *rest, options, **named):
            self.weights.append(weights)
            self.options.append(options)
            return stack(cell, input, state, weights, *rest, options=options, **named)

        monkeypatch.setattr(kernels, "stack", spy)
