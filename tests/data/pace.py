"""How long work takes beside other work on the same data: a busy machine slows both down."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

TRIES = 3


def pace(work: Callable[[], Any], peer: Callable[[], Any]) -> float:
    """The processor's time of the work as a multiple of the peer's; of the fastest of a few tries of each, in turn."""
    tries = [(_seconds(work), _seconds(peer)) for _ in range(TRIES)]
    return min(ours for ours, _ in tries) / min(others for _, others in tries)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
