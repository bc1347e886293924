"""The machine a training runs on: its threads and its precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from seqloom.errors import SettingError
from seqloom.run import environment

__all__ = ["autocast", "resolve", "use_threads"]


def available_threads() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bf16() -> bool:
    """Whether the processor multiplies bf16 in hardware."""
    from seqloom.kernels import isa

    return isa() in ("avx512_bf16", "amx")


def gains_by_bf16() -> bool:
    """Whether it multiplies bf16 faster than fp32. Intel's dot products of AVX512_BF16 are half as fast as its fp32."""
    from seqloom.kernels import isa

    return has_bf16() and (isa() == "amx" or "Intel" not in environment()["machine"]["processor"])


def resolve(settings: Any) -> Any:
    """The settings with ``threads`` and ``precision`` as this machine gives them, so that the run remembers them.

    Raises:
        SettingError: bf16 is asked for on a processor that does not have it.
    """
    precision = settings.precision
    if precision == "bf16" and not has_bf16():
        raise SettingError(
            "precision bf16 is asked for, and this processor has no bf16 products (AVX512_BF16 or AMX)",
            help="leave --precision out, or take --precision fp32",
        )
    if precision == "auto":
        precision = "bf16" if gains_by_bf16() else "fp32"
    return settings.model_copy(update={"precision": precision, "threads": settings.threads or available_threads()})


def use_threads(count: int) -> None:
    """Sets the threads of torch's operations in this process."""
    import torch

    torch.set_num_threads(count)


def autocast(precision: str) -> AbstractContextManager[Any]:
    """Within it, matrix products run in the precision; weights, states and sums stay fp32."""
    import torch

    return torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
