"""Plain text: what comes next, token after token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from seqloom import files
from seqloom.data import inspect
from seqloom.data.detokenize import as_it_comes
from seqloom.data.tokenizers import base as tokenizers
from seqloom.data.windows import streams, windows
from seqloom.errors import DataError
from seqloom.parts import part
from seqloom.settings import (
    Averaged,
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
from seqloom.tasks.base import Evaluation, Examples, Loss, Score, Task, Use

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seqloom.data.records import Records

__all__ = ["Language", "LanguageSettings"]

SAMPLES = ((0.5, 1), (0.8, 2), (1.0, 3))
"""Temperature and seed of each sample in the report."""
SAMPLE_LENGTH = 300
SHORTEST = 20
"""A text of fewer tokens teaches nothing."""


class LanguageSettings(TextSettings, TokenizerSettings, RecurrentSettings, TrainingSettings):
    """The settings of language, and the defaults that suit it."""

    tokenizer: TokenizerName = "auto"
    lowercase: bool = False
    min_frequency: Positive = 1
    vocabulary: VocabularySize = 16_000
    window: Positive = 128
    """Steps that gradients go back (truncated back-propagation through time)."""
    stride: Natural = 0
    """Distance between windows; 0 reads the text as parallel streams whose state is carried from window to window,
    anything else makes each window an example of its own that starts from a state of zeros."""
    cell: CellName = "lstm"
    layers: Positive = 2
    hidden: Positive = 384
    embedding: Natural = 64
    dropout: Share = 0.3
    weight_dropout: Share = 0.3
    """Share of the recurrent weights dropped in training, others at each step."""
    skip_connections: bool = True
    """The output sees every layer, not only the last one."""
    batch: Positive = 32
    lr: LearningRate = 3e-3
    average: Averaged = 0.1


class Language(Task):
    """Many to many: at every step the scores of the next token."""

    name = "language"
    Settings = LanguageSettings
    metric = "loss"
    higher_is_better = False

    settings: LanguageSettings
    tokenizer: tokenizers.Tokenizer

    # --- data -----------------------------------------------------------------------------------------------------

    def check(self, records: Records, *, use: Use = "evaluate") -> Records:
        column = self.settings.text or ("text" if records.is_text else None)
        if column is None:
            raise DataError(
                "no column was found that could be the text",
                code="D040",
                file=records.file,
                line=1,
                help=f"name it with --text; the columns are {', '.join(records.columns)}",
            )
        return replace(records, columns={"text": inspect.texts(records, column)})

    def inputs(self, data: Records) -> list[str]:
        return list(data.columns["text"])

    def split(self, data: Records) -> tuple[Records, Records, str]:
        text = _joined(data)
        share = self.settings.split
        if share == 0:
            return data, data, "none: validated on what it was trained on"
        cut = round(len(text) * (1 - share))
        parts = [replace(data, columns={"text": [piece]}, lines=[1]) for piece in (text[:cut], text[cut:])]
        return parts[0], parts[1], f"the last {share:.0%} of the text"

    def fit(self, train: Records) -> None:
        name = "char" if self.settings.tokenizer == "auto" else self.settings.tokenizer
        self.settings = self.settings.model_copy(update={"tokenizer": name})
        self.tokenizer = part("tokenizers", name).fit(
            [_joined(train)],
            min_frequency=self.settings.min_frequency,
            vocabulary=self.settings.vocabulary,
            lowercase=self.settings.lowercase,
        )

    def encode(self, data: Records) -> Examples:
        text = self.tokenizer.normalize(_joined(data))
        tokens = self.tokenizer.encode(text)
        least = self.settings.window + 1 if self.settings.stride else SHORTEST
        if len(tokens) < least:
            raise DataError(
                f"the text has {len(tokens)} {self.tokenizer.unit}s; at least {least} are needed",
                code="D046",
                file=data.file,
                help="take a longer text, or another --split or --window",
            )
        unknown = int((tokens == tokenizers.UNKNOWN).sum())
        return Examples([tokens], np.zeros(0, dtype=np.int64), [text], [1], unknown)

    def save(self, folder: Path) -> None:
        files.write_json(folder / "tokenizer.json", self.tokenizer.to_json())

    @classmethod
    def load(cls, settings: LanguageSettings, folder: Path) -> Self:
        task = cls(settings)
        task.tokenizer = tokenizers.load(json.loads((folder / "tokenizer.json").read_text("utf-8")))
        return task

    # --- training -------------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        from seqloom.models.language_model import LanguageModel

        s = self.settings
        return LanguageModel(
            len(self.tokenizer),
            cell=s.cell,
            embedding=s.embedding,
            hidden=s.hidden,
            layers=s.layers,
            dropout=s.dropout,
            skip_connections=s.skip_connections,
            nonlinearity=s.nonlinearity,
            weight_dropout=s.weight_dropout,
        )

    def describe(self) -> str:
        s = self.settings
        return f"{s.cell} {s.layers} x {s.hidden} over {len(self.tokenizer):,} {self.tokenizer.unit}s"

    def epoch(self, examples: Examples, number: int) -> Sequence[Any]:
        s = self.settings
        tokens = examples.arrays[0]
        random = np.random.default_rng([s.seed, number])
        if s.stride:
            inputs, targets = windows(tokens, s.window, s.stride)
            order = random.permutation(len(inputs))
            groups = [order[start : start + s.batch] for start in range(0, len(order), s.batch)]
            return [(inputs[group], targets[group]) for group in groups]
        # A text too short for so many streams is read in fewer, and shorter, ones.
        window = min(s.window, (len(tokens) - 1) // 2)
        rows = max(1, min(s.batch, (len(tokens) - 1 - window) // window))
        # Another offset each epoch, and always as many tokens: every epoch has the same number of steps.
        offset = int(random.integers(window))
        return list(streams(tokens[: len(tokens) - window + offset + 1], rows, window, offset=offset))

    def loss(self, model: nn.Module, batch: Any, carried: tuple[Tensor, ...]) -> Loss:
        import torch
        from torch.nn.functional import cross_entropy

        inputs, targets = (torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)) for array in batch)
        output, state = model(inputs, carried)  # [B, T, V]
        total = cross_entropy(output.flatten(0, 1).float(), targets.flatten(), reduction="sum")
        right = (output.argmax(dim=2) == targets).sum()
        carried = () if self.settings.stride else tuple(tensor.detach() for tensor in state)
        return Loss(total, targets.numel(), right, carried)

    # --- judging --------------------------------------------------------------------------------------------------

    def evaluate(self, model: nn.Module, examples: Examples, *, details: bool = False) -> Evaluation:
        import torch

        from seqloom.models.tail import score_tokens

        tokens = examples.arrays[0]
        if self.settings.stride:
            inputs, targets = windows(tokens, self.settings.window, self.settings.stride)
            with torch.no_grad():
                losses = [
                    self.loss(model, (inputs[i : i + 256], targets[i : i + 256]), ())
                    for i in range(0, len(inputs), 256)
                ]
            count = sum(loss.count for loss in losses)
            nats = sum(float(loss.sum) for loss in losses)
            right = sum(int(loss.correct) for loss in losses if loss.correct is not None)
        else:
            nats, right, count = score_tokens(model, tokens, len(self.tokenizer))
        metrics = self._metrics(nats, right, count, len(examples.texts[0]) / len(tokens))
        return Evaluation(metrics, count, {"samples": self._samples(model, examples)} if details else {})

    def _metrics(self, nats: float, right: int, count: int, characters: float) -> dict[str, float]:
        loss = nats / count
        return {
            "loss": loss,
            "accuracy": right / count,
            "perplexity": exp(min(loss, 700.0)),
            "nats_per_character": loss / characters,
            "bits_per_character": loss / characters / log(2),
        }

    def _samples(self, model: nn.Module, examples: Examples) -> list[dict[str, Any]]:
        prompt = self.tokenizer.decode(examples.arrays[0][:SHORTEST])
        return [
            {
                "prompt": prompt,
                "temperature": temperature,
                "text": "".join(self.generate(model, prompt, length=SAMPLE_LENGTH, temperature=temperature, seed=seed)),
            }
            for temperature, seed in SAMPLES
        ]

    def error(self, evaluation: Evaluation) -> float | None:
        return None

    def baselines(self, train: Records, judged: Records, *, seconds: float | None) -> list[Score]:
        from seqloom.models.ngram import KneserNey, Unigram

        known, seen = self.encode(train).arrays[0], self.encode(judged).arrays[0]
        note = None
        # Counting costs under two microseconds a token; of a text too long for the time the end is taken.
        most = None if seconds is None else int(seconds * 500_000)
        if most is not None and len(known) > most:
            known, note = known[-most:], f"counted on the last {most:,} tokens"
        found = []
        for name, model in (("5-gram, Kneser-Ney", KneserNey(order=5)), ("unigram", Unigram())):
            start = perf_counter()
            loss = float(model.fit(known, len(self.tokenizer)).score(seen).mean())
            found.append(Score(name, loss, loss, round(perf_counter() - start, 1), None, note))
        return found

    # --- using ----------------------------------------------------------------------------------------------------

    def predict(self, model: nn.Module, inputs: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
        """How likely each text is, token by token, and the likeliest next tokens."""
        import torch

        from seqloom.models.tail import score_tokens

        found, unknown = [], 0
        for text in inputs:
            tokens = self._prompt(text)
            unknown += int((tokens == tokenizers.UNKNOWN).sum())
            nats, _, count = score_tokens(model, tokens, len(self.tokenizer)) if len(tokens) > 1 else (0.0, 0, 0)
            with torch.no_grad():
                last = model(torch.from_numpy(tokens[None].astype(np.int64)))[0][0, -1].float().softmax(dim=0)
            best = last.topk(min(3, len(last)))
            likely = {self.tokenizer.decode([int(i)]): round(float(p), 6) for p, i in zip(*best, strict=True)}
            loss = nats / count if count else None
            found.append(
                {"tokens": len(tokens), "loss": loss, "perplexity": None if loss is None else exp(loss), "next": likely}
            )
        return found, unknown

    def generate(self, model: nn.Module, prompt: str, *, length: int, **sampling: Any) -> Iterator[str]:
        """Text as it comes, without the prompt; the keywords are those of ``models.decode.generate``."""
        from seqloom.models import decode

        tokens = self._prompt(prompt)
        drawn = decode.generate(
            model,  # type: ignore[arg-type]  # a task builds its own model
            tokens.tolist(),
            length=length,
            forbidden=(tokenizers.PAD, tokenizers.UNKNOWN),
            **sampling,
        )
        return as_it_comes(self.tokenizer, drawn)

    def next_command(self, run: Path) -> str:
        return f'generate {run} --prompt "..."'

    def _prompt(self, text: str) -> Any:
        """Token ids of a prompt; an empty one begins as a new line does."""
        tokens = self.tokenizer.encode(text)
        if not len(tokens):
            tokens = self.tokenizer.encode("\n")
        return tokens if len(tokens) else np.array([tokenizers.UNKNOWN], dtype=np.int32)


def _joined(records: Records) -> str:
    """All texts as one, a line break between two of them."""
    return "\n".join(records.columns["text"])


PART = Language
