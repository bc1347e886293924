"""The baseline for classification: a bag of n-grams, naive-Bayes ratios and logistic regression.

Wang and Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", with logistic
regression in the place of the support vector machine: each n-gram that a text holds counts once, weighted with how much
more often a label's texts hold it than the others' (in logarithms); rows are scaled to length one. N-grams are hashed,
not listed; where there are many labels, those are known that most texts hold. Two labels need one regression, more need
one each against the rest.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["BagOfNgrams", "bag_of_ngrams", "majority"]

CHARACTER_ORDER, WORD_ORDER = 4, 3
"""The longest n-grams, and below the inverse strength of the regularisation: the best on the dev parts of IMDB and
NSMC, where neighbours differ by less than the binomial error."""
C = 10.0

BITS = 22
"""N-grams are hashed to so many bits."""
ROOM = 1 << 23
"""Most weights of all regressions together: of many labels a bag knows the n-grams alone that most texts hold. Saved, a
bag has 8 bytes for each n-gram of two labels (IMDB: 23 MB), and never more than 50 MB."""

TRIAL, GROWTH = 2_000, 1.5
"""Rows of the trial from which the time of the whole fit is foretold, and how much more than in the trial a row takes
then: iterations and cache misses grow."""

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_CHUNK = 1_000_000
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class BagOfNgrams:
    """A fitted bag. ``K`` labels; ``R`` regressions: one for two labels, else K; ``F`` known n-grams.

    Attributes:
        characters: whether the n-grams are of characters, not of words.
        labels: K.
        columns: hashes of the known n-grams, ascending, int32 [F].
        ratios: naive-Bayes log-count ratios, float16 [R, F].
        weights: the regression's coefficients, already multiplied with the ratios, float16 [R, F].
        bias: float64 [R].
        note: what the caller should tell: that only a part of the rows was used. Empty otherwise.
    """

    characters: bool
    labels: int
    columns: np.ndarray
    ratios: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    note: str = ""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each label for each text, [N, K]."""
        from scipy.sparse import csr_matrix

        present = _of_columns(_bags(texts, self.characters), self.columns)
        used, place = np.unique(present.indices, return_inverse=True)
        present = csr_matrix((present.data, place.astype(np.int32), present.indptr), (len(texts), len(used)))
        score = np.empty((len(texts), len(self.bias)))
        together = max(1, _CHUNK // max(1, len(used)))  # regressions, so that their numbers stay few
        for start in range(0, len(self.bias), together):
            some = slice(start, start + together)
            ratios = self.ratios[some, used].astype(np.float64).T  # (used, R)
            lengths = np.sqrt(present @ (ratios * ratios))
            score[:, some] = present @ self.weights[some, used].astype(np.float64).T
            score[:, some] = score[:, some] / np.maximum(lengths, _TINY) + self.bias[some]
        odds = 1 / (1 + np.exp(-score))  # (N, R)
        if self.labels == 2:
            return np.concatenate([1 - odds, odds], axis=1)
        shares: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return shares

    def to_tensors(self) -> dict[str, np.ndarray]:
        """All that ``from_tensors`` needs, as safetensors can hold it."""
        kind = np.array([int(self.characters), self.labels], dtype=np.int64)
        return {
            "kind": kind,
            "columns": self.columns,
            "ratios": self.ratios,
            "weights": self.weights,
            "bias": self.bias,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """The bag that ``to_tensors`` described.

        Raises:
            KeyError: a tensor is missing.
            ValueError: tensors do not fit each other.
        """
        characters, labels = tensors["kind"].tolist()
        columns, ratios, weights, bias = (tensors[name] for name in ("columns", "ratios", "weights", "bias"))
        regressions = 1 if labels == 2 else labels
        if not ratios.shape == weights.shape == (len(bias), len(columns)) == (regressions, columns.size):
            raise ValueError("the tensors of the n-grams do not fit each other")
        return cls(bool(characters), labels, columns, ratios, weights, bias)


def bag_of_ngrams(
    train_texts: Sequence[str], train_labels: Sequence[int], *, characters: bool, seconds: float | None = None
) -> BagOfNgrams:
    """Fits the bag; the same texts and labels give the same bag.

    Args:
        train_texts: at least one text.
        train_labels: 0 to K - 1, one a text.
        characters: n-grams of 1 to 4 characters, for Korean, Chinese and Japanese; else of 1 to 3 words.
        seconds: about the most time to take. Where a trial foretells more, a random part of the rows is used and
            ``note`` says so; the result then depends on the machine's speed.
    """
    labels = np.asarray(train_labels)
    count = len(train_texts)
    classes = int(labels.max()) + 1
    order = np.random.default_rng(0).permutation(count)
    if seconds is not None and count > TRIAL:
        import sklearn.linear_model  # noqa: F401  the trial's time shall not hold the import

        started = perf_counter()
        _fit([train_texts[i] for i in order[:TRIAL]], labels[order[:TRIAL]], classes, characters)
        trial = perf_counter() - started
        affordable = max(TRIAL, int(TRIAL * (seconds - trial) / (GROWTH * trial)))
        if affordable < count:
            rows = order[:affordable]
            note = f"fitted on {affordable:,} of {count:,} rows, about what {seconds:g} seconds allow"
            return _fit([train_texts[i] for i in rows], labels[rows], classes, characters, note)
    return _fit(train_texts, labels, classes, characters)


def majority(train_labels: Sequence[int], labels: int) -> np.ndarray:
    """The share of each label in training, [K]: what the majority rule predicts for every text."""
    counts = np.bincount(np.asarray(train_labels, dtype=np.int64), minlength=labels)
    shares: np.ndarray = counts / max(counts.sum(), 1)
    return shares


def _fit(texts: Sequence[str], labels: np.ndarray, classes: int, characters: bool, note: str = "") -> BagOfNgrams:
    from sklearn.linear_model import LogisticRegression

    present = _bags(texts, characters)
    regressions = [1] if classes == 2 else list(range(classes))
    columns = _known(present, len(regressions))
    present = _of_columns(present, columns)
    ratios = np.zeros((len(regressions), len(columns)), dtype=np.float16)
    weights = np.zeros_like(ratios)
    bias = np.zeros(len(regressions))
    for r, label in enumerate(regressions):
        positive = labels == label
        inside, outside = positive.sum(), (~positive).sum()
        if not inside or not outside or not len(columns):
            bias[r] = np.log((inside + 0.5) / (outside + 0.5))
            continue
        ratio = _log_count_ratio(present, positive)
        # liblinear's dual solver: an order of magnitude faster here than L-BFGS, and as good at this tolerance.
        solver = LogisticRegression(C=C, solver="liblinear", dual=True, tol=0.1, max_iter=1000, random_state=0)
        solver.fit(_weighted(present, ratio), positive)
        ratios[r] = ratio
        weights[r] = ratio * solver.coef_[0]
        bias[r] = solver.intercept_[0]
    return BagOfNgrams(characters, classes, columns, ratios, weights, bias, note)


def _known(present: csr_matrix, regressions: int) -> np.ndarray:
    """The columns that most texts hold, as many as there is room for, ascending, int32 [F]."""
    texts = np.bincount(present.indices, minlength=present.shape[1])
    held = int(np.count_nonzero(texts))
    room = min(held, ROOM // regressions)
    found = np.flatnonzero(texts) if room == held else np.sort(np.argsort(-texts, kind="stable")[:room])
    return found.astype(np.int32)


def _of_columns(present: csr_matrix, columns: np.ndarray) -> csr_matrix:
    """The bags of the given columns alone, which are numbered anew: [N, F]."""
    from scipy.sparse import csr_matrix

    place = np.searchsorted(columns, present.indices).astype(np.int32)
    known = columns[np.minimum(place, len(columns) - 1)] == present.indices if len(columns) else place < 0
    starts = np.concatenate([[0], np.cumsum(known)]).astype(np.int32)[present.indptr]
    return csr_matrix((present.data[known], place[known], starts), shape=(present.shape[0], len(columns)))


def _log_count_ratio(present: csr_matrix, positive: np.ndarray) -> np.ndarray:
    """Equation 1 of the paper on binary counts, with 1 added to each: log(p / |p|) - log(q / |q|), [F]."""
    p = 1 + present.T @ positive.astype(np.float32)
    q = 1 + present.T @ (~positive).astype(np.float32)
    ratio: np.ndarray = np.log(p / p.sum()) - np.log(q / q.sum())
    return ratio.astype(np.float32)


def _weighted(present: csr_matrix, ratio: np.ndarray) -> csr_matrix:
    """The bags with each feature's ratio in the place of 1, rows scaled to length one."""
    from scipy.sparse import csr_matrix

    length = np.sqrt(present @ (ratio * ratio))
    scale = np.repeat(1 / np.maximum(length, _TINY), np.diff(present.indptr))
    values = (ratio[present.indices] * scale).astype(np.float32)
    return csr_matrix((values, present.indices, present.indptr), shape=present.shape)


def _bags(texts: Sequence[str], characters: bool) -> csr_matrix:
    """Which hashed n-grams each text holds, once each: ones, float32 [N, 2^BITS]."""
    from scipy.sparse import csr_matrix

    order = CHARACTER_ORDER if characters else WORD_ORDER
    columns, sizes = [np.empty(0, dtype=np.int32)], [np.zeros(1, dtype=np.int64)]
    for units, lengths in (_character_codes if characters else _word_codes)(texts):
        found, size = _hashed_ngrams(units, lengths, order)
        columns.append(found)
        sizes.append(size)
    indices = np.concatenate(columns)
    starts = np.cumsum(np.concatenate(sizes)).astype(np.int32)  # liblinear takes 32 bits; 2e9 n-grams fit no memory
    return csr_matrix((np.ones(len(indices), dtype=np.float32), indices, starts), shape=(len(texts), 1 << BITS))


def _hashed_ngrams(units: np.ndarray, lengths: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """The different n-grams of each text, sorted and hashed to int32 columns, and how many each text has."""
    row = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    keys = []
    ngram = np.zeros(len(units), dtype=np.uint64)
    for n in range(1, min(order, len(units)) + 1):
        last = len(units) - n + 1
        ngram = _mix(ngram[:last] + units[n - 1 :])
        inside = row[:last] == row[n - 1 :]  # both ends in the same text
        column = (ngram[inside] >> np.uint64(64 - BITS)).astype(np.int64)
        keys.append(row[:last][inside] << BITS | column)
    key = np.concatenate(keys) if keys else np.empty(0, dtype=np.int64)
    key.sort()
    key = key[np.diff(key, prepend=-1) != 0]
    sizes = np.bincount(key >> BITS, minlength=len(lengths))
    return (key & ((1 << BITS) - 1)).astype(np.int32), sizes


def _mix(values: np.ndarray) -> np.ndarray:
    """Scatters 64-bit values: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ values >> np.uint64(31)
    return mixed


class _WordHashes(dict[str, int]):
    """The hash of each word, computed when first asked for; the same in every process, unlike ``hash``."""

    def __missing__(self, word: str) -> int:
        self[word] = value = zlib.crc32(word.encode("utf-8", "replace"))
        return value


def _word_codes(texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A number for each word or mark, lower-cased: chunks of uint64 [units], [texts]."""
    hashes = _WordHashes()
    for chunk in _chunks(texts):
        words = [_WORD.findall(text) for text in chunk]
        lengths = np.array([len(row) for row in words], dtype=np.int64)
        codes = np.fromiter(map(hashes.__getitem__, chain.from_iterable(words)), np.uint64, count=int(lengths.sum()))
        yield codes, lengths


def _character_codes(texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A number for each character, lower-cased, runs of white space as one blank, also at both ends."""
    for chunk in _chunks(texts):
        rows = [f" {' '.join(text.split())} " for text in chunk]
        codes = np.frombuffer("".join(rows).encode("utf-32-le", "surrogatepass"), dtype="<u4")
        yield codes.astype(np.uint64), np.array([len(row) for row in rows], dtype=np.int64)


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in NFC and lower case, about a million characters at a time to bound the memory."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(unicodedata.normalize("NFC", text).lower())
        size += len(text)
        if size > _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
