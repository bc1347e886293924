"""Wrong arguments are named, with what was expected and what was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqloom import kernels
from seqloom.errors import SettingError, ShapeError
from seqloom.kernels import Options, Weights
from seqloom.parts import part

torch.set_num_threads(1)


def weights(rows=16, features=3, hidden=4):
    return Weights(torch.zeros(rows, features), torch.zeros(rows, hidden), torch.zeros(rows), torch.zeros(rows))


def arguments(**changes):
    named = {
        "cell": part("cells", "lstm")(),
        "input": torch.zeros(2, 5, 3),
        "state": (torch.zeros(2, 4), torch.zeros(2, 4)),
        "weights": weights(),
    }
    return named | changes


WRONG = [
    ({"input": torch.zeros(2, 3)}, r"input must be \[B, T, I=3\], 3 axes; given \[2, 3\], 2 axes"),
    ({"input": torch.zeros(2, 5, 4)}, r"input must be \[B, T, I=3\]; given \[2, 5, 4\]"),
    ({"input": torch.zeros(2, 5, 3).double()}, "input must be torch.float32, as the weights are; given torch.float64"),
    ({"input": torch.zeros(2, 5, 3, dtype=torch.int64)}, "input must be torch.float32, .* given torch.int64"),
    ({"input": torch.zeros(2, 5, 3, device="meta")}, "input must be on cpu, where the weights are; given on meta"),
    ({"state": (torch.zeros(2, 4),)}, r"state must be 2 tensors \(h, c\); given 1"),
    ({"state": (torch.zeros(2, 4), torch.zeros(3, 4))}, r"state c must be \[B=2, H=4\]; given \[3, 4\]"),
    ({"state": (torch.zeros(2, 4).double(), torch.zeros(2, 4))}, "state h must be torch.float32"),
    ({"state": (torch.zeros(2, 4, device="meta"), torch.zeros(2, 4))}, "state h must be on cpu"),
    ({"weights": weights()._replace(ih=torch.zeros(12, 3))}, r"weight_ih must be \[G\*H=16, I=3\]"),
    ({"weights": weights()._replace(hh=torch.zeros(12, 4))}, r"weight_hh must be \[G\*H=16, H=4\]"),
    ({"weights": weights()._replace(bias_ih=torch.zeros(4))}, r"bias_ih must be \[G\*H=16\]; given \[4\]"),
    ({"weights": weights()._replace(bias_hh=torch.zeros(17))}, r"bias_hh must be \[G\*H=16\]; given \[17\]"),
    ({"weights": weights()._replace(bias_hh=None)}, "bias_ih and bias_hh must both be given, or neither"),
    ({"weights": weights()._replace(hh=torch.zeros(16, 4).double())}, "weight_hh must be torch.float32 on cpu, as"),
    ({"lengths": torch.tensor([[5, 5]])}, r"lengths must be \[B=2\], 1 axes; given \[1, 2\]"),
    ({"lengths": [5, 5, 5]}, r"lengths must be \[B=2\]; given \[3\]"),
    ({"lengths": [True, False]}, "lengths must be integers; given torch.bool"),
    ({"lengths": [2.5, 3.0]}, "lengths must be integers; given torch.float32"),
    ({"lengths": [2, 6]}, "lengths must be from 0 to T=5; given from 2 to 6"),
    ({"lengths": [-1, 5]}, "lengths must be from 0 to T=5; given from -1 to 5"),
]

WRONG_OPTIONS = [
    (Options(fresh=torch.zeros(2, 4, dtype=torch.bool)), r"fresh must be \[B=2, T=5\]; given \[2, 4\]"),
    (Options(fresh=torch.zeros(2, 5)), "fresh must be torch.bool; given torch.float32"),
    (Options(fresh=torch.zeros(2, 5, dtype=torch.bool, device="meta")), "fresh must be on cpu, where the input is"),
    (Options(dropout_mask=torch.zeros(2, 5)), r"dropout_mask must be \[B=2, H=4\]; given \[2, 5\]"),
    (Options(dropout_mask=torch.zeros(2, 4).double()), "dropout_mask must be torch.float32, .* given torch.float64"),
    (Options(zoneout=(0.5,)), r"zoneout must be 2 rates \(h, c\); given 1"),
    (Options(zoneout_marks=(torch.zeros(2, 5, 4, dtype=torch.bool),)), r"zoneout_marks must be 2 tensors \(h, c\)"),
    (
        Options(zoneout_marks=(torch.zeros(2, 5, 4, dtype=torch.bool), torch.zeros(2, 5, 3, dtype=torch.bool))),
        r"zoneout_marks c must be \[B=2, T=5, H=4\]; given \[2, 5, 3\]",
    ),
    (Options(zoneout_marks=(torch.zeros(2, 5, 4),) * 2), "zoneout_marks h must be torch.bool; given torch.float32"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_wrong_arguments_are_named(changes, message):
    with pytest.raises(ShapeError, match=message):
        kernels.scan(**arguments(**changes))


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ShapeError, match=message):
        kernels.scan(**arguments(options=options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(zoneout=(0.5, 1.5)), r"zoneout must be rates from 0 to 1; given \(0.5, 1.5\)"),
        (Options(zoneout=(float("nan"), 0.5)), "zoneout must be rates from 0 to 1"),
        (Options(precision="float16"), "precision must be one of float32, bfloat16; given 'float16'"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(SettingError, match=message):
        kernels.scan(**arguments(options=options))


def stacked(**changes):
    state = torch.zeros(2, 2, 4)
    return arguments(state=(state, state), weights=[weights(), weights(features=4)]) | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": (torch.zeros(1, 2, 4),) * 2}, r"state h must be \[L\*D=2, B=2, H=4\]; given \[1, 2, 4\]"),
        ({"weights": [weights(), weights()]}, r"weight_ih must be \[G\*H=16, I=4\]; given \[16, 3\]"),
        ({"weights": [weights(), weights(features=8)], "bidirectional": True}, r"weight_ih must be \[G\*H=16, I=3\]"),
        ({"weights": []}, "weights must be one or more for each of 1 directions; given 0"),
        (
            {"weights": [weights()], "bidirectional": True},
            "weights must be one or more for each of 2 directions; given 1",
        ),
        ({"weights": [weights(), weights(20, 4, 5)]}, r"weight_ih must be \[G\*H=16, I=4\]; given \[20, 4\]"),
        ({"options": [Options()]}, "options must be 2, one for each layer and direction; given 1"),
        ({"resets": torch.zeros(5, 2, dtype=torch.bool)}, r"resets must be \[B=2, T=5\]; given \[5, 2\]"),
        ({"resets": torch.zeros(2, 5, dtype=torch.int64)}, "resets must be torch.bool; given torch.int64"),
    ],
)
def test_wrong_arguments_of_a_stack_are_named(changes, message):
    with pytest.raises(ShapeError, match=message):
        kernels.stack(**stacked(**changes))


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int64])
def test_lengths_of_any_integer_type(kind):
    named = arguments(input=torch.randn(2, 5, 3), weights=Weights(torch.randn(16, 3), torch.randn(16, 4)))
    wanted = kernels.scan(**named, lengths=[2, 5])[0]
    assert torch.count_nonzero(wanted) == 28
    assert torch.equal(kernels.scan(**named, lengths=torch.tensor([2, 5], dtype=kind))[0], wanted)
    assert torch.equal(kernels.scan(**named, lengths=np.array([2, 5]))[0], wanted)
    assert torch.equal(kernels.scan(**named, lengths=(2, 5))[0], wanted)
