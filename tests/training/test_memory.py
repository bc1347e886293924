"""A long table trains in little memory: windows are views, copied batch by batch, and never laid out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seqloom

MEASURED = """
import sys
from seqloom.cli import main
status = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""
# Not getrusage: what it says a child had at most begins with what its parent has.
GIB = 1 << 20
"""In the kibibytes that Linux counts."""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_seventy_thousand_rows_with_long_windows_train_within_a_gibibyte(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    values = np.sin(np.arange(70_000)[:, None] / 15 + np.arange(7)) + random.normal(size=(70_000, 7))
    header = ",".join("abcdefg")
    np.savetxt(tmp_path / "long.csv", values, fmt="%.3f", delimiter=",", header=header, comments="")
    words = ["train", "long.csv", "--task", "forecast", "--look-back", "720", "--horizon", "720", "--period", "96"]
    words += ["--budget", "20s", "--split", "0.02", "--test", "0.02", "--quiet", "--out", "run"]
    environment = os.environ | {"PYTHONPATH": str(Path(seqloom.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # All windows laid out would take 70,000 * 1,440 * 7 numbers: 2.6 GiB.
    assert int(done.stdout) < GIB
