"""seqloom: learn from anything that comes in order.

>>> import seqloom
>>> run = seqloom.train("reviews.csv", budget="10m")          # doctest: +SKIP
>>> seqloom.load(run.path).predict(["a fine film"])           # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloom.data.inspect import inspect
    from seqloom.errors import DataError, RunError, SeqloomError, SettingError, ShapeError
    from seqloom.layers.accelerate import accelerate
    from seqloom.layers.drop_in import GRU, LSTM, RNN
    from seqloom.predict import load
    from seqloom.report.compare import compare
    from seqloom.report.page import write as write_report
    from seqloom.training.train import resume, train

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "DataError",
    "RunError",
    "SeqloomError",
    "SettingError",
    "ShapeError",
    "accelerate",
    "compare",
    "inspect",
    "load",
    "resume",
    "train",
    "write_report",
]

# Where each public name lives: it is imported when first used, so that `import seqloom` costs nothing.
HOMES = {
    "GRU": "layers.drop_in",
    "LSTM": "layers.drop_in",
    "RNN": "layers.drop_in",
    "DataError": "errors",
    "RunError": "errors",
    "SeqloomError": "errors",
    "SettingError": "errors",
    "ShapeError": "errors",
    "accelerate": "layers.accelerate",
    "compare": "report.compare",
    "inspect": "data.inspect",
    "load": "predict",
    "write_report": "report.page:write",
    "resume": "training.train",
    "train": "training.train",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'seqloom' has no attribute {name!r}")
    module, _, attribute = HOMES[name].partition(":")
    value = getattr(importlib.import_module(f"seqloom.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
