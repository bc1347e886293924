"""Threads and precision as the machine gives them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from seqloom import kernels
from seqloom.errors import SettingError
from seqloom.tasks.classify import ClassifySettings
from seqloom.training import devices


@pytest.mark.parametrize(("gains", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_the_processor_is_faster_with(
    monkeypatch: pytest.MonkeyPatch, gains: bool, precision: str
) -> None:
    monkeypatch.setattr(devices, "gains_by_bf16", lambda: gains)
    assert devices.resolve(ClassifySettings()).precision == precision
    assert devices.resolve(ClassifySettings.parse({"precision": "fp32"})).precision == "fp32"


@pytest.mark.parametrize(
    ("isa", "processor", "has", "gains"),
    [
        ("avx512", "AMD EPYC", False, False),
        ("avx512_bf16", "AMD EPYC", True, True),
        ("avx512_bf16", "Intel(R) Xeon(R) Processor", True, False),
        ("amx", "Intel(R) Xeon(R) Processor", True, True),
    ],
)
def test_which_processors_gain_by_bf16(
    monkeypatch: pytest.MonkeyPatch, isa: str, processor: str, has: bool, gains: bool
) -> None:
    monkeypatch.setattr(kernels, "isa", lambda: isa)
    monkeypatch.setattr(devices, "environment", lambda: {"machine": {"processor": processor}})
    assert devices.has_bf16() == has
    assert devices.gains_by_bf16() == gains


def test_bf16_without_the_processor_for_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_bf16", lambda: False)
    with pytest.raises(SettingError, match="AVX512_BF16") as refused:
        devices.resolve(ClassifySettings.parse({"precision": "bf16"}))
    assert "--precision fp32" in str(refused.value)


def test_threads_are_those_asked_for_or_all_there_are() -> None:
    assert devices.resolve(ClassifySettings.parse({"threads": 3})).threads == 3
    assert devices.resolve(ClassifySettings()).threads == devices.available_threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to processors")
def test_a_process_bound_to_one_processor_has_one_thread() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from seqloom.training.devices import available_threads; print(available_threads())"
    )
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "1"


def test_use_threads() -> None:
    before = torch.get_num_threads()
    try:
        devices.use_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_bf16_touches_products_and_neither_weights_nor_sums() -> None:
    torch.manual_seed(1)
    layer, x = torch.nn.Linear(37, 5), torch.randn(3, 37)
    with devices.autocast("bf16"):
        product = layer(x)
        loss = torch.nn.functional.cross_entropy(product.float(), torch.tensor([0, 1, 4]))
    assert product.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert layer.weight.dtype == torch.float32
    with devices.autocast("fp32"):
        assert layer(x).dtype == torch.float32
    torch.testing.assert_close(product.float(), layer(x), rtol=2e-2, atol=2e-2)
