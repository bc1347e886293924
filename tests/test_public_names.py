"""The public surface is a sorted list, small and documented, and costs nothing until it is used."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import seqloom

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(seqloom.__file__).parents[1])}
HEAVY = ("torch", "polars", "sklearn", "matplotlib", "tokenizers", "numpy", "pydantic")


def test_names_are_sorted_and_at_most_fifteen():
    assert seqloom.__all__ == sorted(seqloom.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert len(set(seqloom.__all__)) == len(seqloom.__all__) <= 15
    assert set(dir(seqloom)) == set(seqloom.__all__)


@pytest.mark.parametrize("name", seqloom.__all__)
def test_each_name_is_there_and_documented(name):
    value = getattr(seqloom, name)
    assert value.__module__.startswith("seqloom")
    assert len(inspect.getdoc(value) or "") > 20


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'tarin'"):
        seqloom.tarin  # noqa: B018


def loaded(code: str) -> set[str]:
    """The heavy packages that a fresh Python has imported after some code."""
    program = f"import sys\n{code}\nprint('loaded', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_imports_nothing_heavy():
    assert loaded("import seqloom; seqloom.SettingError; dir(seqloom)") == set()


def test_help_imports_nothing_heavy():
    assert loaded("from seqloom.cli import main; main(['--help'])") == set()


@pytest.mark.parametrize("command", ["train", "resume", "predict", "generate", "recipe", "parts", "demo", "bench"])
def test_help_of_a_command_imports_no_torch(command):
    assert not loaded(f"from seqloom.cli import main; main(['{command}', '--help'])") & {"torch", "polars", "sklearn"}


def test_using_a_layer_imports_torch():
    assert "torch" in loaded("import seqloom; seqloom.GRU")
