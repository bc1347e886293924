"""The compiled scans on torch's own threads: none beside them, several callers, forked children.

Each test is a process of its own, whose threads nobody else has made.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SET_UP = """
import os, threading, torch
from seqloom import kernels
from seqloom.cells.gru import GRUCell

torch.set_num_threads(2)
torch.manual_seed(0)
cell = GRUCell()
weights = kernels.Weights(torch.randn(3 * 96, 64) / 8, torch.randn(3 * 96, 96) / 9, torch.randn(288), torch.randn(288))
input = torch.randn(40, 20, 64)  # enough work for two threads
for each in (input, *weights):
    each.requires_grad_()

def run():
    output, (last,) = kernels.scan(cell, input, (torch.ones(40, 96),), weights)
    gradients = torch.autograd.grad(output.square().sum() + last.sum(), (input, *weights))
    return [each.detach().numpy().copy() for each in (output, last, *gradients)]

def same(result):
    return all((one == other).all() for one, other in zip(result, expected, strict=True))

expected = run()
"""


def process(code):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SET_UP + code],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.split()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs the system's own list of threads")
def test_no_threads_are_made_beside_torchs():
    counts = process("""
count = lambda: len(os.listdir("/proc/self/task"))
torch.ones(1000, 1000).add(1)  # torch's own threads, if they are not there yet
before = count()
run()
torch.ones(1000, 1000).add(1)
print(before, count())
torch.set_num_threads(1)
run()
print(count())
""")
    assert len(set(counts)) == 1, counts


def test_four_python_threads_at_once():
    assert process("""
wrong = []
def work():
    for _ in range(10):
        if not same(run()):
            wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(wrong))
""") == ["0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children():
    # In a child torch's own operators must not use its threads, which are gone: so only the scan itself runs there.
    assert process("""
import signal, warnings
warnings.simplefilter("ignore")  # of threads and fork, in newer versions of Python
failed = 0
for _ in range(100):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that waits for ever
        with torch.no_grad():
            output, _ = kernels.scan(cell, input, (torch.ones(40, 96),), weights)
        os._exit(0 if (output.numpy() == expected[0]).all() else 1)
    failed += os.waitpid(child, 0)[1] != 0
print(failed, same(run()))
""") == ["0", "True"]
