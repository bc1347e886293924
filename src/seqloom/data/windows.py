"""Windows over one long sequence of tokens: each target is the token behind its input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqloom.errors import ShapeError

__all__ = ["streams", "windows"]


def streams(tokens: np.ndarray, batch: int, window: int, *, offset: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cuts tokens [N] in ``batch`` rows read side by side, for truncated back-propagation with a carried state.

    Row b of an item goes on exactly where row b of the item before it stopped, so the state at the end of one is the
    state at the beginning of the next. The last item may be shorter. Tokens before ``offset`` are left out (another
    offset each epoch moves the cuts), and so are fewer than ``batch`` at the end; no token is a target twice.

    Args:
        tokens: ids, [N].
        batch: rows, B.
        window: time steps of an item, T.
        offset: where to begin.

    Returns:
        pairs of inputs [B, T] and targets [B, T], views of ``tokens``.

    Raises:
        ShapeError: a size is below 1, or there are too few tokens for one target a row.
    """
    length = (len(tokens) - offset - 1) // batch if batch > 0 else 0
    if batch < 1 or window < 1 or offset < 0 or length < 1:
        raise ShapeError(
            f"cannot cut {len(tokens)} tokens from offset {offset} on in {batch} rows and windows of {window}; "
            f"at least offset + rows + 1 = {offset + batch + 1} tokens are needed"
        )
    inputs = tokens[offset : offset + batch * length].reshape(batch, length)
    targets = tokens[offset + 1 : offset + batch * length + 1].reshape(batch, length)
    return ((inputs[:, t : t + window], targets[:, t : t + window]) for t in range(0, length, window))


def windows(tokens: np.ndarray, window: int, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """All windows of tokens [L], each ``stride`` behind the one before; the targets are the inputs moved by one.

    Returns:
        inputs [N, T] and targets [N, T], N = (L - T - 1) // stride + 1: views of ``tokens`` that cannot be written to.

    Raises:
        ShapeError: a size is below 1, or there are too few tokens for one window and its target.
    """
    if window < 1 or stride < 1 or len(tokens) < window + 1:
        raise ShapeError(
            f"cannot cut windows of {window} with a stride of {stride} out of {len(tokens)} tokens; "
            f"at least window + 1 = {window + 1} tokens are needed, and sizes of at least 1"
        )
    both = np.lib.stride_tricks.sliding_window_view(tokens, window + 1)[::stride]  # [N, T + 1]
    return both[:, :-1], both[:, 1:]
