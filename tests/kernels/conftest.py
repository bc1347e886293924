"""Fixtures of the kernels' tests."""

from __future__ import annotations

import pytest

from seqloom import _native
from seqloom.kernels import packed


@pytest.fixture(params=_native.supported_isas())
def isa(request, monkeypatch):
    """Each instruction set that this machine has, in turn."""
    monkeypatch.setattr(packed, "isa", lambda: request.param)
    return request.param
