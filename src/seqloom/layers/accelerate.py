"""Makes the recurrent layers of any torch model ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from seqloom.errors import SettingError
from seqloom.layers.drop_in import GRU, LSTM, RNN
from seqloom.layers.recurrent import Recurrent
from seqloom.parts import part

__all__ = ["Accelerated", "accelerate"]

OURS: dict[type[nn.Module], tuple[type[Recurrent], str]] = {
    nn.RNN: (RNN, "elman"),
    nn.GRU: (GRU, "gru"),
    nn.LSTM: (LSTM, "lstm"),
}
"""The class that takes the place of each of torch's, and its cell."""

KINDS = ("RNN", "GRU", "LSTM")
ONLY_TORCHS = ("mode", "nonlinearity", "proj_size", "_flat_weights", "_flat_weights_names", "_flat_weight_refs")
"""Attributes of torch's layers that are derived in ours, or kept for CUDA alone."""


@dataclass(frozen=True)
class Accelerated:
    """What ``accelerate`` did, by the layers' names in the model; "" is the model itself.

    >>> print(Accelerated(("encoder",), {"decoder": "has projections"}))
    replaced encoder
    left decoder: has projections
    """

    replaced: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict)
    """Layers left as they were, each with the reason."""

    def __str__(self) -> str:
        lines = [f"replaced {name or 'the model itself'}" for name in self.replaced]
        lines += [f"left {name or 'the model itself'}: {reason}" for name, reason in self.left.items()]
        return "\n".join(lines) or "no recurrent layers found"


def accelerate(model: nn.Module) -> Accelerated:
    """Makes every ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` inside ``model`` a ``seqloom.RNN``, ``GRU`` or ``LSTM``.

    The layers are the same objects as before, of another class: wherever the model refers to one, it finds the faster
    one. Parameters are the same tensors under the same names, so optimizers and state dictionaries go on as they are;
    so do hooks, the training mode and what else was set. Where the model itself is such a layer, it is changed too.
    Calling it again changes nothing more.

    Left alone, and reported with the reason: layers with projections, on other devices than the CPU or of other types
    than float32 and float64; subclasses, parametrized, pruned, quantized, scripted and patched ones; and single cells
    (``nn.GRUCell``), which have no time to go through. Layers that the model does not list among its modules are not
    found.

    >>> model = nn.ModuleDict({"rnn": nn.GRU(3, 5), "small": nn.LSTM(3, 5, proj_size=2)})
    >>> print(accelerate(model))
    replaced rnn
    left small: it has projections (proj_size=2)

    Args:
        model: any module; changed in place.

    Raises:
        SettingError: ``model`` is no module.
    """
    if not isinstance(model, nn.Module):
        raise SettingError(
            f"accelerate needs a torch.nn.Module; given {type(model).__name__}",
            help="pass the model that holds the layers",
        )
    replaced: list[str] = []
    left: dict[str, str] = {}
    done: set[int] = set()
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if id(layer) not in done and _is_torchs(layer):
            reason = next(_objections(layer), None)
            if reason is not None:
                left[name] = reason
                continue
            _adopt(layer)
            done.add(id(layer))
        if id(layer) in done:
            replaced.append(name)
    return Accelerated(tuple(replaced), left)


def _is_torchs(layer: nn.Module) -> bool:
    """Whether it is one of torch's recurrent layers, in any form: also scripted, quantized, or a single cell."""
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return True
    if isinstance(layer, torch.jit.ScriptModule):
        return layer.original_name in KINDS
    return type(layer).__module__.startswith("torch.ao.") and type(layer).__name__ in KINDS


def _objections(layer: nn.Module) -> Iterator[str]:
    """Why it is left alone; nothing where it can be changed."""
    if isinstance(layer, torch.jit.ScriptModule):
        yield "it is compiled by TorchScript; accelerate the model before scripting it"
    if isinstance(layer, nn.RNNCellBase):
        yield "it is a single cell; seqloom's layers run over time, and have step() for streaming"
    if type(layer).__module__.startswith("torch.ao."):
        yield "it is quantized"
    if torch.nn.utils.parametrize.is_parametrized(layer):
        yield "its weights are parametrized"
    if type(layer) not in OURS:
        base = next(kind.__name__ for kind in (*OURS, nn.RNNBase) if isinstance(layer, kind))
        yield f"it is a subclass of nn.{base} ({type(layer).__name__}), with methods of its own"
    if "forward" in vars(layer):
        yield "its forward was replaced"
    if any(layer._parameters.get(name) is None for names in vars(layer)["_all_weights"] for name in names):
        yield "its weights are computed from other tensors (weight_norm, pruning)"
    parameters = list(layer.parameters())
    if any(map(is_lazy, parameters)):
        yield "its weights are not there yet; run the model once, then accelerate it"
    if layer.proj_size:
        yield f"it has projections (proj_size={layer.proj_size})"
    for device in {parameter.device.type for parameter in parameters} - {"cpu"}:
        yield f"it is on {device}; seqloom's scans are for CPUs"
    for dtype in {parameter.dtype for parameter in parameters} - {torch.float32, torch.float64}:
        yield f"its weights are {dtype}; seqloom's scans are for torch.float32 and torch.float64"


def _adopt(layer: Any) -> None:
    """Changes the class of a layer, as ``torch.nn.utils.parametrize`` does; what is set on it stays set."""
    ours, cell = OURS[type(layer)]
    nonlinearity = "relu" if layer.mode == "RNN_RELU" else "tanh"
    for name in ONLY_TORCHS:
        vars(layer).pop(name, None)
    layer.__class__ = ours
    layer.cell = part("cells", cell)(nonlinearity)
