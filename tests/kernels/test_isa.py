"""Which instruction set the compiled part chooses."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from seqloom import _native

ISAS = ["portable", "avx2", "avx512", "avx512_bf16", "amx"]


def in_a_process(isa):
    """Which instruction set a fresh process chooses with ``SEQLOOM_ISA`` so set."""
    environment = {name: value for name, value in os.environ.items() if name != "SEQLOOM_ISA"}
    if isa is not None:
        environment["SEQLOOM_ISA"] = isa
    code = (
        "from seqloom.errors import SettingError\n"
        "from seqloom import kernels\n"
        "try: print(kernels.isa())\n"
        "except SettingError as error: print(error)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_supported_sets_are_a_beginning_of_the_list():
    supported = _native.supported_isas()
    assert supported == ISAS[: len(supported)]
    assert supported


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="needs the system's own list of the processor's flags")
def test_the_supported_sets_are_those_of_the_system():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        flags = next((set(line.split()) for line in file if line.startswith("flags")), set())
    wanted = ["portable"]
    for isa, needs in {
        "avx2": {"avx2", "fma"},
        "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
        "avx512_bf16": {"avx512_bf16"},
        "amx": {"amx_tile", "amx_bf16"},
    }.items():
        if not needs <= flags:
            break
        wanted.append(isa)
    assert _native.supported_isas() == wanted


def test_the_best_one_unless_asked_otherwise():
    assert in_a_process(None) == in_a_process("") == _native.supported_isas()[-1]
    assert in_a_process("portable") == "portable"
    assert [_native.choose_isa(isa) for isa in _native.supported_isas()] == _native.supported_isas()


def test_an_unknown_one_is_refused():
    said = in_a_process("sse9")
    assert 'SEQLOOM_ISA="sse9" is not an instruction set; supported here: portable' in said
    assert "help: unset SEQLOOM_ISA" in said


@pytest.mark.skipif(len(_native.supported_isas()) == len(ISAS), reason="this machine supports every instruction set")
def test_one_the_machine_lacks_is_refused():
    assert "is not supported by this machine; supported here: portable" in in_a_process(ISAS[-1])


def test_the_stacks_of_signal_handlers_are_large_enough_for_the_tiles():
    """A process that may use AMX's tiles needs more room where it handles a signal: others ask how much."""
    code = (
        "import faulthandler, threading, torch, seqloom\n"
        "from seqloom import kernels\n"
        "kernels.isa(); layer = seqloom.GRU(3, 5, precision='bfloat16')\n"
        "faulthandler.enable()\n"
        "import polars, tokenizers\n"
        "print(polars.DataFrame({'a': [1, 2]}).lazy().select(polars.col('a').sum()).collect().item())\n"
        "runs = [threading.Thread(target=lambda: print(layer(torch.ones(4, 2, 3))[0].shape)) for _ in range(3)]\n"
        "for each in runs: each.start()\n"
        "for each in runs: each.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[0] == "3" and done.stdout.count("torch.Size([4, 2, 5])") == 3
