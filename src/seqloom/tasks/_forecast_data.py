"""Series cut into parts by time, and windows over them as arrays of the model and of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.data.records import Reject
from seqloom.data.series import Series, SeriesSet
from seqloom.data.windows import SeriesWindows, series_windows
from seqloom.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Batch", "Epoch", "Part", "Windows", "by_name", "cut", "too_short", "with_gaps_closed"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Series, and the rows of each that belong to a part: its forecasts are of these, and may look back on all before.

    Attributes:
        data: all series, whole.
        begin: of each series the first row of the part.
        end: the row behind its last one.
    """

    data: SeriesSet
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @classmethod
    def whole(cls, data: SeriesSet) -> Part:
        """All rows of all series."""
        return cls(data, (0,) * len(data.series), tuple(len(series) for series in data.series))

    @property
    def file(self) -> str:
        return self.data.file

    @property
    def rejects(self) -> tuple[Reject, ...]:
        return self.data.rejects

    @property
    def rows(self) -> list[Array]:
        """The targets [n, C] of each series within the part."""
        return [s.values[a:b] for s, a, b in zip(self.data.series, self.begin, self.end, strict=True)]

    def __len__(self) -> int:
        return sum(end - begin for begin, end in zip(self.begin, self.end, strict=True))


def by_name(data: SeriesSet) -> dict[str, list[int]]:
    """The numbers of the pieces of each series, in order of time: gaps may have cut it."""
    pieces: dict[str, list[int]] = {}
    for number, series in enumerate(data.series):
        pieces.setdefault(series.name, []).append(number)
    return pieces


def cut(data: SeriesSet, split: float, test: float, least: int) -> tuple[Part, Part, Part]:
    """The training, the validation and the test part of each series, one behind the other in time.

    The test part is the last ``test`` of a series, the validation part the ``split`` before it; each at least ``least``
    rows, unless its share is 0.
    """
    bounds = np.zeros((len(data.series), 4), dtype=np.int64)  # of each piece: begin, train's end, valid's end, end
    for numbers in by_name(data).values():
        lengths = [len(data.series[number]) for number in numbers]
        rows = sum(lengths)
        tested = max(least, round(rows * test)) if test else 0
        validated = max(least, round(rows * split)) if split else 0
        cuts = np.maximum(0, np.array([0, rows - tested - validated, rows - tested, rows]))
        for number, before, length in zip(numbers, np.cumsum([0, *lengths]), lengths, strict=False):
            bounds[number] = np.clip(cuts - before, 0, length)
            filled = data.series[number].filled
            for side in (1, 2):  # a filled row knows the one behind the hole: no part ends with one
                while bounds[number, side] > bounds[number, side - 1] and filled[bounds[number, side] - 1]:
                    bounds[number, side] -= 1
    sides = [tuple(column.tolist()) for column in bounds.T]
    return Part(data, sides[0], sides[1]), Part(data, sides[1], sides[2]), Part(data, sides[2], sides[3])


def too_short(part: Part, look_back: int, horizon: int, *, chosen: bool) -> DataError:
    """What is wrong with a part none of whose series is as long as one window; ``chosen``: the look-back is known."""
    series, number = part.data.series, int(np.argmax(part.end))
    rows, whole = part.end[number], len(series[number])
    pieces = "piece" if len({each.name for each in series}) < len(series) else "series"
    of = f" of its {whole:,} rows up to the end of this part" if rows < whole else " rows"
    reads = f"look-back {look_back:,} and horizon {horizon:,}" if chosen else f"horizon {horizon:,}"
    return DataError(
        f"the longest {pieces} has {rows:,}{of}; {reads} need at least {look_back + horizon:,}",
        code="D058",
        file=part.file,
        help="give more rows, or a smaller --look-back or --horizon (or --split and --test)",
    )


class Batch(NamedTuple):
    """Windows in the units of the model, B of them.

    Attributes:
        values: the targets, [B, T+F, C].
        past: covariates up to the origin, [B, T, P]; None where P is 0.
        known: covariates known in advance, [B, T+F, K]; None where K is 0.
    """

    values: Tensor
    past: Tensor | None
    known: Tensor | None


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one part: a row of ``index`` is a series and its first row."""

    part: Part
    scaled: SeriesWindows
    """Targets, past and known covariates side by side in the units of the model, [rows, C + P + K]."""
    index: Index
    """[W, 2]."""
    look_back: int
    horizon: int
    widths: tuple[int, int, int]
    """C, P and K."""
    first: NDArray[np.float32] | None
    """What stands in the first row of every window, [C]: no change, for differences and returns."""
    values: Array
    """The targets of all rows as the file has them, one series behind the other, [rows, C]."""
    filled: NDArray[np.bool_]
    """Rows with a value that was filled in, [rows]."""
    unknown: int = 0
    tokens: int = 0

    def __len__(self) -> int:
        return len(self.index)

    def thinned(self, most: int) -> Windows:
        """At most so many of the windows, evenly spaced."""
        if len(self) <= most:
            return self
        return self.take(np.linspace(0, len(self) - 1, most).round().astype(np.int64))

    def take(self, chosen: Index) -> Windows:
        """Some of the windows."""
        return Windows(**{**vars(self), "index": self.index[chosen]})

    def rows(self, index: Index) -> NDArray[np.float32]:
        """The windows at ``index`` [B, 2] in the units of the model, [B, T+F, C+P+K]."""
        found = self.scaled.gather(index)
        if self.first is not None:
            found[:, 0, : self.widths[0]] = self.first
        return found

    def gather(self, index: Index) -> Batch:
        """The windows at ``index`` [B, 2] as the model reads them."""
        import torch

        targets, past, known = self.widths
        both = torch.from_numpy(self.rows(index))
        return Batch(
            both[..., :targets].contiguous(),
            both[:, : self.look_back, targets : targets + past].contiguous() if past else None,
            both[..., targets + past :].contiguous() if known else None,
        )

    def history(self, index: Index, rows: int | None = None) -> Array:
        """The rows before each origin as the file has them, [B, T, C]; or the last ``rows`` of them."""
        rows = rows or self.look_back
        return np.asarray(self.values[(self._origins(index) - rows)[:, None] + np.arange(rows)])

    def truth(self, index: Index) -> Array:
        """What came after each origin, [B, F, C]; NaN where a value was filled in."""
        rows = self._origins(index)[:, None] + np.arange(self.horizon)
        return np.where(self.filled[rows][..., None], np.nan, self.values[rows])

    def _origins(self, index: Index) -> Index:
        return np.asarray(self.scaled.begins[index[:, 0]] + index[:, 1] + self.look_back)

    def chunks(self) -> list[Index]:
        """The windows in pieces that are small enough to be forecast at once."""
        size = max(1, min(512, 1_000_000 // (self.scaled.width * (self.look_back + self.horizon))))
        return [self.index[start : start + size] for start in range(0, len(self), size)]


def with_gaps_closed(part: Part, look_back: int, horizon: int) -> Index:
    """The windows of a part [W, 2]; none begins its forecast at a row that was filled in from what came later."""
    series = part.data.series
    return series_windows(
        [len(each) for each in series],
        look_back,
        horizon,
        begin=part.begin,
        end=part.end,
        closed=[each.filled for each in series],
    )


class Epoch(Sequence[Batch]):
    """The batches of one epoch: all windows in random order.

    Batch ``i`` of epoch ``n`` depends on the seed, ``n`` and ``i`` alone; its rows are copied when it is asked for.
    """

    def __init__(self, windows: Windows, number: int, batch: int, seed: int) -> None:
        self.windows = windows
        self.batch = batch
        self.order = np.random.default_rng([seed, number]).permutation(len(windows))

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch)

    def __getitem__(self, position: Any) -> Any:
        if not 0 <= position < len(self):
            raise IndexError(position)
        chosen = self.order[position * self.batch : (position + 1) * self.batch]
        return self.windows.gather(self.windows.index[chosen])


def last_rows(series: Series, count: int) -> Series:
    """The last ``count`` rows of a series, with what is known in advance behind them."""
    start = max(0, len(series) - count)
    rows = {name: getattr(series, name)[start:] for name in ("values", "past", "known", "lines", "filled")}
    times = None if series.times is None else series.times[start:]
    return Series(series.name, times, future_times=series.future_times, **rows)
