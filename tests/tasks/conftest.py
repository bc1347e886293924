"""A run of the forecast task, for the files that look at it from different sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqloom.run import Run
from seqloom.training.train import train
from tests.tasks.forecasting import SMALL, waves, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forecast")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return train(write(folder / "waves.csv", waves(400)), out=folder / "run", horizon=6, look_back=12, **SMALL)
