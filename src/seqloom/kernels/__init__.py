"""Runs a cell over time, the fastest way there is for it here, or else by the cell's own step.

``scan`` is one layer in one direction, ``stack`` is layers and directions. Both check their arguments and ask ``route``
who computes; every route keeps the contract of ``Route``, and the contract tests hold each one to the reference.

    interface.py      what the ways take and give
    scan.py           scan, stack, route; short.py is the short way through stack
    checks.py         of arguments
    compiled.py       the compiled kernels with their gradients; packed.py keeps their weights, calls.py calls them
    both.py           the same for both directions of a layer at once, stacked.py for plain layers one above the other
    operator.py       the same as an operator, for torch.compile and torch.export
    native_torch.py   torch's own operators
    reference.py      the cell's own step
"""

from seqloom.kernels.interface import Lengths, Options, Recurrence, Route, Weights
from seqloom.kernels.packed import isa
from seqloom.kernels.reference import reference
from seqloom.kernels.scan import route, scan, stack

__all__ = ["Lengths", "Options", "Recurrence", "Route", "Weights", "isa", "reference", "route", "scan", "stack"]
