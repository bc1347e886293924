"""The C++ tests of what the kernels stand on: threads and memory.

The scans are tested from Python here, and in C++ by ``make sanitize``, whose build takes minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "native"


def run(*command, **environment):
    """Runs a command, and fails with all it said."""
    result = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("cmake") is None:
        pytest.skip("needs CMake to build the tests in C++")
    build = tmp_path_factory.mktemp("native")
    run("cmake", "-S", SOURCE, "-B", build, "-D", "SCANS=OFF")
    run("cmake", "--build", build, "--target", "native_tests")
    return build / "native_tests"


def test_threads_and_memory(program):
    assert "0 failures" in run(program)


def test_teams_smaller_than_wanted(program):
    assert "0 failures" in run(program, "test_threads", OMP_THREAD_LIMIT="2")
