"""What a cell is, apart from its equation."""

from __future__ import annotations

import pytest

from seqloom.cells.base import Cell
from seqloom.errors import SettingError
from seqloom.parts import names, part


@pytest.mark.parametrize("name", names("cells"))
def test_a_cell_is_named_by_its_file_and_says_its_gates(name):
    cell = part("cells", name)
    assert issubclass(cell, Cell)
    assert cell.name == name
    assert cell.gates == len(cell.gate_order) == len(set(cell.gate_order))
    assert cell.states[0] == "h"
    assert "Source:" in cell.__doc__
    order = cell.__doc__.split("Gate order:")[1].split(".")[0]
    positions = [order.index(gate) for gate in cell.gate_order]
    assert positions == sorted(positions)


def test_the_nonlinearity_is_checked():
    elman = part("cells", "elman")
    assert [elman(each).nonlinearity for each in elman.nonlinearities] == ["tanh", "relu"]
    with pytest.raises(SettingError, match=r'nonlinearity "rellu" .* cell elman has\n  help: did you mean "relu"'):
        elman("rellu")


def test_a_cell_without_an_equation_is_none():
    class Empty(Cell):
        gate_order = ("new",)

    with pytest.raises(TypeError, match="abstract"):
        Empty()
