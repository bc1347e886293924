"""Sine waves: the data of the recipes that learn one, and their error on waves that were not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqloom import files

if TYPE_CHECKING:
    from seqloom.predict import Predictor

__all__ = ["draw", "measure", "write"]

COLUMNS = ("wave", "value")


def draw(count: int, points: int, step: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Waves that begin anywhere, each with the point that follows its last one: sin(start + step t), [count, points+1].

    A target that is the wave shifted by one step is the same wave from its second point on.
    """
    starts = generator.uniform(0, 2 * np.pi, size=(count, 1))
    found: NDArray[np.float64] = np.sin(starts + step * np.arange(points + 1))
    return found


def write(
    folder: Path, name: str, *, count: int, held_out: int, points: int, step: float, seed: int
) -> tuple[Path, Path]:
    """Writes two tables of the columns ``wave`` and ``value``, a row each point: to train on, and not to.

    Returns:
        The two files.
    """
    waves = draw(count + held_out, points, step, np.random.default_rng(seed))
    folder.mkdir(exist_ok=True)
    found = []
    for ending, part in (("", waves[:count]), ("-held-out", waves[count:])):
        lines = [f"{number},{value:.9f}" for number, wave in enumerate(part, start=1) for value in wave]
        found.append(folder / f"{name}{ending}.csv")
        files.write_text(found[-1], "\n".join([",".join(COLUMNS), *lines]) + "\n")
    return found[0], found[1]


def measure(predictor: Predictor, file: Path, picture: Path) -> float:
    """The mean squared error of all that a model says on the waves of a file; draws a few of them.

    A model of every step says a value after each of the T points, one of the last step only after the last.
    """
    import torch

    from seqloom.report.forecast_plots import waves as draw_waves

    waves = _read(file)
    model: Any = predictor.model
    with torch.no_grad():
        # [N, S, F=1, C=1, Q=1] beside [N, S, F=1, C=1]: what follows each of the S origins
        said, truth = model.training_output(torch.from_numpy(waves.astype(np.float32))[:, :, None])
    said = said[..., 0]
    draw_waves(waves[:4].tolist(), said[:4, :, 0, 0].tolist(), picture)
    return float((said - truth).double().square().mean())


def _read(file: Path) -> NDArray[np.float64]:
    """The waves of a file, [N, T+1]."""
    lines = [line.split(",") for line in file.read_text("utf-8").splitlines()[1:]]
    count = len({wave for wave, _ in lines})
    return np.array([float(value) for _, value in lines]).reshape(count, -1)
