"""A text and a label: which of a few labels a text carries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from seqloom import files
from seqloom.data import inspect
from seqloom.data.batch import Batch, buckets, in_order, pad
from seqloom.data.read import require
from seqloom.data.split import split
from seqloom.data.tokenizers import base as tokenizers
from seqloom.errors import DataError
from seqloom.parts import part
from seqloom.settings import (
    CellName,
    LearningRate,
    Natural,
    Positive,
    RecurrentSettings,
    Share,
    TextSettings,
    TokenizerName,
    TokenizerSettings,
    TrainingSettings,
    VocabularySize,
)
from seqloom.tasks import _scores as scores
from seqloom.tasks._classify_mixture import Mixture
from seqloom.tasks.base import Evaluation, Examples, Loss, Score, Task, Use

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seqloom.data.records import Records

__all__ = ["Classify", "ClassifySettings"]

TEACHING = 2_000
"""At most so many validation records teach the two weights of the mixture: bounds the time, and one weight then has a
standard error of about 0.05."""


class ClassifySettings(TextSettings, TokenizerSettings, RecurrentSettings, TrainingSettings):
    """The settings of classify, and the defaults that suit it."""

    label: str | None = None
    """Column that holds the label; found by itself when not given."""
    tokenizer: TokenizerName = "auto"
    lowercase: bool = True
    min_frequency: Positive = 5
    vocabulary: VocabularySize = 30_000
    max_length: Positive = 300
    """Tokens of a text that training sees at once (a random stretch); beyond twice as many, prediction reads the
    first and the last of them."""
    token_dropout: Share = 0.2
    """Share of tokens shown as unknown in training."""
    embedding_dropout: Share = 0.2
    """Share of embedding dimensions dropped in training, for a whole text at a time."""
    cell: CellName = "gru"
    layers: Positive = 1
    hidden: Positive = 256
    embedding: Natural = 128
    bidirectional: bool = False
    """Read each text in both directions."""
    dropout: Share = 0.5
    pooling: Literal["last", "mean", "max", "mean-max"] = "mean-max"
    """How the outputs of all steps become one vector."""
    ngrams: bool = True
    """Mix the network's answer with that of the baseline, a bag of n-grams; the validation part teaches in what shares.
    Where nothing is held out to validate on, the network answers alone."""
    batch: Positive = 32
    lr: LearningRate = 2e-3
    warmup: Share = 0.1
    most_epochs: Natural = 2


class Classify(Task):
    """Many to one: embedding, recurrent layers, pooling over time, a linear layer over the labels.

    The network is trained and chosen alone; when that is done, its answer is mixed with that of the bag of n-grams
    which is its baseline.
    """

    name = "classify"
    told = ("network_accuracy",)
    Settings = ClassifySettings
    metric = "accuracy"
    higher_is_better = True

    settings: ClassifySettings
    tokenizer: tokenizers.Tokenizer
    labels: list[str]

    def __init__(self, settings: ClassifySettings) -> None:
        super().__init__(settings)
        self.mixture = Mixture()

    # --- data -----------------------------------------------------------------------------------------------------

    def check(self, records: Records, *, use: Use = "evaluate") -> Records:
        s = self.settings
        if s.text is None or (use != "predict" and s.label is None):
            missing = "text" if s.text is None else "label"
            raise DataError(
                f"no column was found that could be the {missing}",
                code="D040",
                file=records.file,
                line=1,
                help=f"name it with --{missing}; the columns are {', '.join(records.columns)}",
            )
        if use == "predict":
            require(records, [] if records.is_text else [s.text])
            return records
        records = inspect.complete(records, s.text, s.label, bad_rows=s.bad_rows)
        if use == "train":
            inspect.check_labels(records, s.label or "")
        return records

    def inputs(self, data: Records) -> list[str]:
        # The lines of a plain text file stand in a column of this name, whatever the training file called its own.
        return inspect.texts(data, "text" if data.is_text else self.settings.text or "")

    def split(self, data: Records) -> tuple[Records, Records, str]:
        share = self.settings.split
        if share == 0:
            return data, data, "none: validated on what it was trained on"
        texts, labels = self.inputs(data), self._labels(data)
        train, valid = split(texts, labels, share, self.settings.seed)
        how = f"{share:.0%} split off, stratified by label, seed {self.settings.seed}; equal texts stay together"
        return data.take(train), data.take(valid), how

    def fit(self, train: Records) -> None:
        texts = self.inputs(train)
        name = self.settings.tokenizer
        if name == "auto":
            name = "bpe" if inspect.hangul_share(texts) > 0.3 else "word"
            self.settings = self.settings.model_copy(update={"tokenizer": name})
        self.tokenizer = part("tokenizers", name).fit(
            texts,
            min_frequency=self.settings.min_frequency,
            vocabulary=self.settings.vocabulary,
            lowercase=self.settings.lowercase,
        )
        self.labels = sorted(set(self._labels(train)), key=_natural)

    def encode(self, data: Records) -> Examples:
        texts = self.inputs(data)
        inspect.require_known_labels(data, self.settings.label or "", self.labels)
        arrays, unknown = self._arrays(texts)
        return Examples(arrays, self._numbers(data), texts, data.lines, unknown)

    def save(self, folder: Path) -> None:
        files.write_json(folder / "tokenizer.json", self.tokenizer.to_json())
        files.write_json(folder / "labels.json", self.labels)

    @classmethod
    def load(cls, settings: ClassifySettings, folder: Path) -> Self:
        task = cls(settings)
        task.tokenizer = tokenizers.load(json.loads((folder / "tokenizer.json").read_text("utf-8")))
        task.labels = json.loads((folder / "labels.json").read_text("utf-8"))
        task.mixture = Mixture.load(folder)
        return task

    def _labels(self, records: Records) -> list[str]:
        return inspect.labels(records, self.settings.label or "")

    def _arrays(self, texts: Sequence[str]) -> tuple[list[NDArray[np.int32]], int]:
        arrays = self.tokenizer.encode_many(texts)
        unknown = sum(int((array == tokenizers.UNKNOWN).sum()) for array in arrays)
        empty = np.array([tokenizers.UNKNOWN], dtype=np.int32)
        return [array if len(array) else empty for array in arrays], unknown

    # --- training -------------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        from seqloom.models.encoder import Classifier

        s = self.settings
        return Classifier(
            len(self.tokenizer),
            len(self.labels),
            cell=s.cell,
            embedding=s.embedding,
            hidden=s.hidden,
            layers=s.layers,
            bidirectional=s.bidirectional,
            dropout=s.dropout,
            embedding_dropout=s.embedding_dropout,
            pooling=s.pooling,
            nonlinearity=s.nonlinearity,
        )

    def describe(self) -> str:
        s = self.settings
        both = "both directions, " if s.bidirectional else ""
        mixed = " and n-grams" if s.ngrams and self.mixture.bag else ""
        return f"{s.cell} {s.layers} x {s.hidden}, {both}over {len(self.tokenizer):,} {self.tokenizer.unit}s{mixed}"

    def epoch(self, examples: Examples, number: int) -> Sequence[Batch]:
        return TrainingEpoch(examples, number, self.settings)

    def loss(self, model: nn.Module, batch: Batch, carried: tuple[Tensor, ...]) -> Loss:
        from torch.nn.functional import cross_entropy

        output = model(batch.inputs, batch.lengths)  # [B, classes]
        total = cross_entropy(output.float(), batch.targets, reduction="sum")
        return Loss(total, len(batch.targets), (output.argmax(dim=1) == batch.targets).sum())

    def calibrate(self, model: nn.Module, valid: Examples, folder: Path) -> None:
        if not self.settings.ngrams or self.mixture.bag is None:
            return
        rows = np.random.default_rng(self.settings.seed).permutation(len(valid))[:TEACHING].tolist()
        network = self._network(model, [valid.arrays[row] for row in rows])
        self.mixture.fit(network, [valid.texts[row] for row in rows], valid.targets[rows])
        self.mixture.save_pool(folder)

    def forget_calibration(self) -> None:
        self.mixture.pool = None

    # --- judging --------------------------------------------------------------------------------------------------

    def evaluate(self, model: nn.Module, examples: Examples, *, details: bool = False) -> Evaluation:
        network = self._network(model, examples.arrays)
        probabilities = self.mixture.probabilities(network, examples.texts)
        metrics = scores.metrics(probabilities, examples.targets)
        if self.mixture.pool:
            metrics["network_accuracy"] = scores.metrics(network, examples.targets)["accuracy"]
        shown = scores.details(probabilities, examples, self.labels) if details else {}
        return Evaluation(metrics, len(examples), shown)

    def error(self, evaluation: Evaluation) -> float | None:
        return scores.binomial_error(evaluation.metrics["accuracy"], evaluation.count)

    def baselines(self, train: Records, judged: Records, *, seconds: float | None) -> list[Score]:
        from seqloom.models.bag import bag_of_ngrams, majority

        texts, truth = self.inputs(train), self._numbers(train)
        valid_texts, valid_truth = self.inputs(judged), self._numbers(judged)
        start = perf_counter()
        characters = inspect.hangul_share(texts) > 0.3
        bag = bag_of_ngrams(texts, truth.tolist(), characters=characters, seconds=seconds)
        self.mixture = Mixture(bag)
        probabilities = bag.probabilities(valid_texts)
        spent = round(perf_counter() - start, 1)
        most = np.tile(majority(truth.tolist(), len(self.labels)), (len(valid_truth), 1))
        return [
            _baseline("n-grams + logistic regression", probabilities, valid_truth, spent, bag.note),
            _baseline("majority", most, valid_truth),
        ]

    def save_baselines(self, folder: Path) -> None:
        if self.settings.ngrams:
            self.mixture.save_bag(folder)

    def _numbers(self, records: Records) -> NDArray[np.int64]:
        number = {label: index for index, label in enumerate(self.labels)}
        return np.array([number[label] for label in self._labels(records)], dtype=np.int64)

    # --- using ----------------------------------------------------------------------------------------------------

    def predict(self, model: nn.Module, inputs: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
        arrays, unknown = self._arrays(inputs)
        found = []
        for row in self.mixture.probabilities(self._network(model, arrays), inputs):
            best = int(row.argmax())
            each = {label: round(float(p), 6) for label, p in zip(self.labels, row, strict=True)}
            found.append({"label": self.labels[best], "probability": each[self.labels[best]], "probabilities": each})
        return found, unknown

    def next_command(self, run: Path) -> str:
        return f"predict {run} FILE"

    def _network(self, model: nn.Module, arrays: list[NDArray[np.int32]]) -> NDArray[np.float64]:
        """The network's class probabilities ``[N, classes]``, in the order of ``arrays``."""
        import torch

        found = np.zeros((len(arrays), len(self.labels)))
        arrays = [_ends(array, self.settings.max_length) for array in arrays]
        for indices in in_order(np.array([len(array) for array in arrays]), self.settings.batch):
            inputs, lengths = pad([arrays[index] for index in indices])
            with torch.no_grad():
                output = model(torch.from_numpy(inputs), torch.from_numpy(lengths))
            found[indices] = output.double().softmax(dim=1).numpy()
        return found


class TrainingEpoch(Sequence[Batch]):
    """The batches of one epoch: similar lengths together, long texts cut at random, tokens dropped.

    Batch ``i`` of epoch ``n`` depends on the seed, ``n`` and ``i`` alone, so a resumed training needs no more than
    these numbers to go on with the same bits.
    """

    def __init__(self, examples: Examples, number: int, settings: ClassifySettings) -> None:
        self.examples = examples
        self.number = number
        self.settings = settings
        self.lengths = np.minimum(examples.lengths, settings.max_length)
        self.order = buckets(self.lengths, settings.batch, seed=settings.seed, epoch=number)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: Any) -> Any:
        import torch

        indices = self.order[position]
        random = np.random.default_rng([self.settings.seed, self.number, position])
        rows = []
        for index in indices:
            array, length = self.examples.arrays[index], self.lengths[index]
            start = random.integers(len(array) - length + 1)
            rows.append(array[start : start + length])
        inputs, lengths = pad(rows)
        dropped = random.random(inputs.shape) < self.settings.token_dropout
        inputs[dropped & (inputs != tokenizers.PAD)] = tokenizers.UNKNOWN
        targets = torch.from_numpy(self.examples.targets[indices])
        return Batch(indices, torch.from_numpy(inputs), torch.from_numpy(lengths), targets)


def _baseline(
    name: str,
    probabilities: NDArray[np.float64],
    targets: NDArray[np.int64],
    seconds: float | None = None,
    note: str | None = None,
) -> Score:
    metrics = scores.metrics(probabilities, targets)
    error = scores.binomial_error(metrics["accuracy"], len(targets))
    return Score(name, metrics["accuracy"], metrics["loss"], seconds, error, note)


def _ends(array: NDArray[np.int32], length: int) -> NDArray[np.int32]:
    """The first and the last ``length`` tokens of an array that is longer than both together."""
    if len(array) <= 2 * length:
        return array
    return np.concatenate([array[:length], array[-length:]])


def _natural(label: str) -> tuple[int, float, str]:
    """Sorts labels that are numbers as numbers, before all others."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


PART = Classify
