"""sigmoid and tanh of the compiled kernels, for every instruction set, against float64 and against decimals."""

from __future__ import annotations

import decimal
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pytest
import torch

from seqloom import _native

torch.set_num_threads(1)

FUNCTIONS = ["sigmoid", "tanh"]
ISAS = _native.supported_isas()
WITHIN = 3.0  # units in the last place: what math.hpp promises

# Where a result reaches its limit, leaves the normal range, or the reduction of the argument turns from one integer to
# the next (halves of ln 2 / 2); and the ends of the range.
TURNS = [n * np.log(2) / 4 for n in range(-60, 61)]
BOUNDS = [-104.0, -103.972, -87.3365, -88.7228, 17.33, 18.0, 9.01, 9.02, 88.7228, 104.0]
FLOAT32_POINTS = [0.0, *TURNS, *BOUNDS, 1e-20, 1e20, 3.4028235e38, 1.1754944e-38]


def apply(function, isa, values):
    output = np.full_like(values, 7)
    getattr(_native, function)(values, output, isa=isa)
    return output


def exact(function, values):
    """In float64, which is precise enough to judge float32."""
    values = values.astype(np.float64)
    if function == "tanh":
        return np.tanh(values)
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-values))


def exact_decimal(function, value):
    with decimal.localcontext(prec=60):
        x = Decimal(value)
        if function == "sigmoid":
            return 1 / (1 + (-x).exp())
        if abs(x) < Decimal("1e-18"):
            return x * (1 - x * x / 3)
        return ((2 * x).exp() - 1) / ((2 * x).exp() + 1)


def ulps(output, wanted):
    """How far ``output`` is from ``wanted``, in units in the last place of ``wanted`` in the type of ``output``."""
    rounded = np.abs(wanted.astype(output.dtype))
    return np.abs(output - wanted) / np.spacing(rounded).astype(np.float64)


def check_float32(function, isa, values):
    output = apply(function, isa, values)
    unknown = np.isnan(values)
    np.testing.assert_array_equal(np.isnan(output), unknown)
    known = values[~unknown]
    away = ulps(output[~unknown], exact(function, known))
    assert (away <= WITHIN).all(), f"{function}({known[away.argmax()]!r}) is {away.max():.2f} ULP away on {isa}"


def neighbours(points, count):
    """Each of ``points`` and its negative, with the ``count`` floats on either side in the order of their bits."""
    points = np.array(points, np.float32)
    bits = np.concatenate([points, -points]).view(np.uint32)
    return (bits[:, None] + np.arange(-count, count + 1, dtype=np.int64)).astype(np.uint32).ravel().view(np.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_sample_of_all_floats(function, isa):
    every = np.arange(0, 2**32, 9973, dtype=np.uint32).view(np.float32)  # NaN and both zeros' neighbourhoods among them
    check_float32(function, isa, every)
    check_float32(function, isa, neighbours(FLOAT32_POINTS, 500))
    random = np.random.default_rng(0)
    check_float32(function, isa, random.normal(0, 3, 100_000).astype(np.float32))
    check_float32(function, isa, -random.uniform(80, 110, 100_000).astype(np.float32))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_doubles_against_decimals(function, isa):
    random = np.random.default_rng(1)
    values = np.concatenate(
        [
            random.normal(0, 3, 800),
            random.uniform(-0.6, 0.6, 400),
            -random.uniform(15, 760, 400),
            random.uniform(15, 760, 50),
            random.normal(0, 1, 200) * 2.0 ** -random.integers(1, 1070, 200),
            np.nextafter(TURNS, np.inf),
            [0.0, -745.0, -746.0, 38.0, 19.06, 19.1, -19.1, 5e-324, -2.2250738585072014e-308, -708.4, 1e4, -1e4],
        ]
    )
    output = apply(function, isa, values)
    for value, given in zip(values.tolist(), output.tolist(), strict=True):
        wanted = exact_decimal(function, value)
        away = abs(Decimal(given) - wanted) / Decimal(float(np.spacing(abs(float(wanted)))))
        assert away <= WITHIN, f"{function}({value!r}) is {away:.2f} ULP away"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits_signs_and_what_is_exact(dtype, isa):
    tiny = np.finfo(dtype).smallest_subnormal
    huge = np.finfo(dtype).max
    values = np.array([0.0, -0.0, tiny, -tiny, huge, -huge, np.inf, -np.inf, np.nan, -np.nan], dtype)
    tanh = apply("tanh", isa, values)
    np.testing.assert_array_equal(tanh, np.array([0, 0, tiny, -tiny, 1, -1, 1, -1, np.nan, np.nan], dtype))
    np.testing.assert_array_equal(np.signbit(tanh[:8]), np.signbit(values[:8]))
    sigmoid = apply("sigmoid", isa, values)
    np.testing.assert_array_equal(sigmoid, np.array([0.5, 0.5, 0.5, 0.5, 1, 0, 1, 0, np.nan, np.nan], dtype))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_count_at_any_place(function, dtype, isa):
    """A value does not depend on where it stands; nothing is written beyond the count; in place is the same."""
    values = np.random.default_rng(2).normal(0, 4, 300).astype(dtype)
    whole = apply(function, isa, values)
    np.testing.assert_allclose(whole, exact(function, values), rtol=1e-6)
    for count in (0, 1, 2, 3, 7, 17, 31, 33, 257):
        for start in (0, 1, 3, 5):
            output = np.full(count + 10, 7, dtype)
            getattr(_native, function)(values[start : start + count], output[2 : 2 + count], isa=isa)
            np.testing.assert_array_equal(output[2 : 2 + count], whole[start : start + count])
            assert (output[:2] == 7).all() and (output[2 + count :] == 7).all()
    part = values[3:290].copy()
    getattr(_native, function)(part, part, isa=isa)
    np.testing.assert_array_equal(part, whole[3:290])


def test_the_best_instruction_set_unless_named():
    values = np.linspace(-9, 9, 50, dtype=np.float32)
    output = np.empty_like(values)
    _native.tanh(values, output)
    np.testing.assert_array_equal(output, apply("tanh", ISAS[-1], values))


def test_torch_s_memory_is_taken():
    x = torch.randn(33)
    y = torch.full((35,), 7.0)
    _native.tanh(x, y[1:34])
    torch.testing.assert_close(y[1:34], x.tanh())
    assert y[0] == y[34] == 7


def test_what_does_not_fit_is_refused():
    x = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="differ in length"):
        _native.sigmoid(x, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match='"sse9" is not an instruction set'):
        _native.sigmoid(x, x, isa="sse9")
    for wrong in (np.zeros(4, np.int32), np.zeros(8, np.float32)[::2], np.zeros((2, 2), np.float32)):
        with pytest.raises(TypeError):
            _native.sigmoid(x, wrong)
    _native.sigmoid(x[:0], x[:0])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_floats(function):
    """All 2^32 of them, on the best instruction set."""
    part, piece = 2**24, 2**15  # what a thread takes, and what fits its cache

    def check(part_start):
        for start in range(part_start, part_start + part, piece):
            bits = np.arange(start, start + piece, dtype=np.uint32)
            check_float32(function, ISAS[-1], bits.view(np.float32))

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(check, range(0, 2**32, part)):
            pass  # raises what a part raised
