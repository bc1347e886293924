"""The baseline for classification: a bag of n-grams, naive-Bayes ratios and logistic regression.

Wang and Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", with logistic
regression in the place of the support vector machine: each n-gram that a text holds counts once, weighted with how much
more often a label's texts hold it than the others' (in logarithms); rows are scaled to length one. N-grams are hashed,
not listed. Two labels need one regression, more need one each against the rest.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, log2
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["BagOfNgrams", "bag_of_ngrams", "majority"]

CHARACTER_ORDER, WORD_ORDER = 4, 3
"""The longest n-grams, and below the inverse strength of the regularisation: the best on the dev parts of IMDB and
NSMC, where neighbours differ by less than the binomial error."""
C = 10.0

TRIAL, GROWTH = 2_000, 1.5
"""Rows of the trial from which the time of the whole fit is foretold, and how much more than in the trial a row takes
then: iterations and cache misses grow."""

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_CHUNK = 1_000_000


@dataclass(frozen=True, eq=False)
class BagOfNgrams:
    """A fitted bag. ``K`` labels; ``R`` regressions: one for two labels, else K; ``F`` hashed features.

    Attributes:
        characters: whether the n-grams are of characters, not of words.
        labels: K.
        ratios: naive-Bayes log-count ratios, float32 [R, F].
        weights: the regression's coefficients, already multiplied with the ratios, float32 [R, F].
        bias: [R].
        note: what the caller should tell: that only a part of the rows was used. Empty otherwise.
    """

    characters: bool
    labels: int
    ratios: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    note: str = ""

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each label for each text, [N, K]."""
        present = _bags(texts, self.characters, self.ratios.shape[1])
        score = np.empty((len(texts), len(self.bias)))
        for r, (ratio, weight, bias) in enumerate(zip(self.ratios, self.weights, self.bias, strict=True)):
            length = np.sqrt(present @ (ratio * ratio))
            score[:, r] = (present @ weight) / np.maximum(length, np.finfo(np.float32).tiny) + bias
        odds = 1 / (1 + np.exp(-score))  # (N, R)
        if self.labels == 2:
            return np.concatenate([1 - odds, odds], axis=1)
        shares: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return shares


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

    present = _bags(texts, characters, _features(classes))
    regressions = [1] if classes == 2 else list(range(classes))
    ratios = np.zeros((len(regressions), present.shape[1]), dtype=np.float32)
    weights = np.zeros_like(ratios)
    bias = np.zeros(len(regressions))
    present, used = _compact(present)
    for r, label in enumerate(regressions):
        positive = labels == label
        inside, outside = positive.sum(), (~positive).sum()
        if not inside or not outside:
            bias[r] = np.log((inside + 0.5) / (outside + 0.5))
            continue
        ratio = _log_count_ratio(present, positive)
        # liblinear's dual solver: an order of magnitude faster here than L-BFGS, and as good at this tolerance.
        solver = LogisticRegression(C=C, solver="liblinear", dual=True, tol=0.1, max_iter=1000, random_state=0)
        solver.fit(_weighted(present, ratio), positive)
        ratios[r, used] = ratio
        weights[r, used] = ratio * solver.coef_[0]
        bias[r] = solver.intercept_[0]
    return BagOfNgrams(characters, classes, ratios, weights, bias, note)


def _features(classes: int) -> int:
    """How many features to hash to: as many as keep the weights under half a gigabyte."""
    return 1 << (22 if classes <= 2 else max(14, min(20, 26 - ceil(log2(classes)))))


def _compact(present: csr_matrix) -> tuple[csr_matrix, np.ndarray]:
    """The bags without the features that no text holds, and which features remain: the solver's time and memory."""
    from scipy.sparse import csr_matrix

    seen = np.bincount(present.indices, minlength=present.shape[1]) > 0
    number = (np.cumsum(seen) - 1).astype(np.int32)
    shape = (present.shape[0], int(seen.sum()))
    return csr_matrix((present.data, number[present.indices], present.indptr), shape=shape), np.flatnonzero(seen)


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
    scale = np.repeat(1 / np.maximum(length, np.finfo(np.float32).tiny), np.diff(present.indptr))
    values = (ratio[present.indices] * scale).astype(np.float32)
    return csr_matrix((values, present.indices, present.indptr), shape=present.shape)


def _bags(texts: Sequence[str], characters: bool, features: int) -> csr_matrix:
    """Which hashed n-grams each text holds, once each: ones, float32 [N, F]."""
    from scipy.sparse import csr_matrix

    order = CHARACTER_ORDER if characters else WORD_ORDER
    columns, sizes = [np.empty(0, dtype=np.int32)], [np.zeros(1, dtype=np.int64)]
    for units, lengths in (_character_codes if characters else _word_codes)(texts):
        found, size = _hashed_ngrams(units, lengths, order, features)
        columns.append(found)
        sizes.append(size)
    indices = np.concatenate(columns)
    starts = np.cumsum(np.concatenate(sizes)).astype(np.int32)  # liblinear takes 32 bits; 2e9 n-grams fit no memory
    return csr_matrix((np.ones(len(indices), dtype=np.float32), indices, starts), shape=(len(texts), features))


def _hashed_ngrams(units: np.ndarray, lengths: np.ndarray, order: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """The different n-grams of each text, sorted and hashed to int32 columns, and how many each text has."""
    bits = features.bit_length() - 1
    row = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    keys = []
    ngram = np.zeros(len(units), dtype=np.uint64)
    for n in range(1, min(order, len(units)) + 1):
        last = len(units) - n + 1
        ngram = _mix(ngram[:last] + units[n - 1 :])
        inside = row[:last] == row[n - 1 :]  # both ends in the same text
        column = (ngram[inside] >> np.uint64(64 - bits)).astype(np.int64)
        keys.append(row[:last][inside] << bits | column)
    key = np.concatenate(keys) if keys else np.empty(0, dtype=np.int64)
    key.sort()
    key = key[np.diff(key, prepend=-1) != 0]
    sizes = np.bincount(key >> bits, minlength=len(lengths))
    return (key & (features - 1)).astype(np.int32), sizes


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
