"""Windows over one long sequence of tokens, whose target is the token behind each, and over many series of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import ShapeError

__all__ = ["SeriesWindows", "series_windows", "streams", "windows"]


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


def series_windows(
    lengths: Sequence[int],
    look_back: int,
    horizon: int,
    *,
    stride: int = 1,
    begin: Sequence[int] | None = None,
    end: Sequence[int] | None = None,
    closed: Sequence[NDArray[np.bool_]] | None = None,
) -> NDArray[np.int64]:
    """Every window of series of these lengths: ``look_back`` rows to forecast from, and the ``horizon`` rows behind.

    Args:
        look_back: rows, T.
        horizon: rows, F.
        stride: rows from one window to the next of the same series.
        begin: of each series, the first row that may be a target; what is before it may still be looked back on.
        end: of each series, the row behind the last one that may be a target.
        closed: of each series, the rows [N] that no forecast may start from: ``Series.filled``, since a filled row
            knows the one behind it.

    Returns:
        the series of each window and the row at which it begins, [W, 2]; W may be 0.

    Raises:
        ShapeError: a size is below 1.
    """
    if look_back < 1 or horizon < 1 or stride < 1:
        raise ShapeError(f"windows need sizes of at least 1; given {look_back} + {horizon} rows, stride {stride}")
    found = [np.zeros((0, 2), dtype=np.int64)]
    for number, length in enumerate(lengths):
        first = max(0, (0 if begin is None else begin[number]) - look_back)
        last = min(length, length if end is None else end[number]) - look_back - horizon
        starts = np.arange(first, last + 1, stride, dtype=np.int64)
        if closed is not None:
            starts = starts[~closed[number][starts + look_back - 1]]
        found.append(np.stack([np.full(len(starts), number), starts], axis=1))
    return np.concatenate(found)


class SeriesWindows:
    """Windows out of one array that holds all series; only the rows of a batch are ever copied.

    Args:
        series: arrays [N, X] of the same X, one a series; copied once, as float32.
        size: rows of a window: look-back and horizon together.
    """

    def __init__(self, series: Sequence[np.ndarray], size: int) -> None:
        lengths = [len(values) for values in series]
        self.size, self.width = size, series[0].shape[1]
        self.rows = np.empty((sum(lengths), self.width), dtype=np.float32)
        self.begins = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        for begin, values in zip(self.begins, series, strict=False):
            self.rows[begin : begin + len(values)] = values
        # A window is one run of memory: [rows, size * X], each row X numbers behind the one before.
        flat = self.rows.reshape(-1)
        enough = len(self.rows) >= size and self.width > 0
        self._runs = (
            np.lib.stride_tricks.sliding_window_view(flat, size * self.width)[:: self.width] if enough else None
        )

    def gather(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """The windows [B, size, X] at an index [B, 2] of series and first rows, as ``series_windows`` makes it.

        Raises:
            ShapeError: a window runs over the end of its series.
        """
        starts = self.begins[index[:, 0]] + index[:, 1]
        if len(starts) and ((index[:, 1] < 0) | (starts + self.size > self.begins[index[:, 0] + 1])).any():
            raise ShapeError(f"a window of {self.size} rows runs over the end of its series")
        if self._runs is None:
            return np.empty((len(index), self.size, self.width), dtype=np.float32)
        return np.asarray(self._runs[starts].reshape(len(index), self.size, self.width))
