"""What is gained by reading the state at each row's end, and by using the dropout: imdb-gru beside tutorials.

    python -m bench.padding FOLDER [EPOCHS [MODELS]]

MODELS is how many of the models below to train, all when not given.

Tutorials of this model judge a review by the output at the last position of the padded batch, and go on with the tensor
from before the dropout. The models are the same otherwise: data, batches, seeds, optimizer, schedule, epochs. How much
the padding hurts depends on how much there is: beside our batches of similar length stands what batches in random order
come to, every review padded to the longest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import perf_counter

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from torch import Tensor, nn

from seqloom.data.read import read
from seqloom.models.encoder import Classifier
from seqloom.tasks.classify import Classify, ClassifySettings
from seqloom.training.devices import autocast, resolve
from seqloom.training.loop import evaluate
from seqloom.training.optimizer import adamw, learning_rate, set_learning_rate

LENGTH = 200


class Tutorial(Classifier):
    """The recipe's model with one or both of the faults."""

    padded_end = False
    fully_padded = False

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        if not self.padded_end:
            return super().forward(inputs, lengths)
        if self.fully_padded:
            longest = LENGTH if self.training else 2 * LENGTH  # evaluation reads the first and the last words
            inputs = nn.functional.pad(inputs, (0, longest - inputs.shape[1]))
        output, _ = self.recurrent(self.embedding(inputs))  # all steps, padding included
        scores: Tensor = self.output(self.dropout(output[:, -1]))
        return scores


def build(task: Classify, padded_end: bool, fully_padded: bool, dropout_lost: bool) -> nn.Module:
    model = task.build()
    model.__class__ = Tutorial
    assert isinstance(model, Tutorial)
    model.padded_end, model.fully_padded = padded_end, fully_padded
    if dropout_lost:
        model.dropout = nn.Dropout(0.0)
    return model


def main(folder: Path, epochs: int = 2, models: int = 6) -> None:
    settings = {"text": "text", "label": "label", "tokenizer": "word", "min_frequency": 5, "cell": "gru", "hidden": 256}
    settings |= {"bidirectional": False, "pooling": "last", "embedding_dropout": 0.0, "token_dropout": 0.0}
    settings |= {"max_length": LENGTH, "epochs": epochs, "lr": 1e-3}
    task = Classify(resolve(ClassifySettings.parse(settings)))
    torch.set_num_threads(task.settings.threads or 1)
    train = task.check(read(folder / "train.csv.gz"), use="train")
    task.fit(train)
    examples, valid = task.encode(train), task.encode(task.check(read(folder / "dev.csv.gz")))
    steps = epochs * len(task.epoch(examples, 0))
    print(
        f"accuracy on {len(valid):,} reviews after each of {epochs} epochs, reviews cut to {LENGTH} words in training"
    )
    for name, padded_end, fully_padded, dropout_lost in (
        ("padded to the longest, dropout lost", True, True, True),
        ("padded to the longest", True, True, False),
        ("end of the padded bucket", True, False, False),
        ("end of the padded bucket, dropout lost", True, False, True),
        ("dropout lost", False, False, True),
        ("put right", False, False, False),
    )[:models]:
        torch.manual_seed(1)
        model = build(task, padded_end, fully_padded, dropout_lost)
        optimizer = adamw(model, task.settings)
        start, step, found = perf_counter(), 0, []
        for epoch in range(epochs):
            for batch in task.epoch(examples, epoch):
                set_learning_rate(optimizer, learning_rate(step / steps, task.settings))
                with autocast(task.settings.precision):
                    loss = task.loss(model, batch, ())
                optimizer.zero_grad()
                (loss.sum / loss.count).backward()
                nn.utils.clip_grad_norm_(model.parameters(), task.settings.clip)
                optimizer.step()
                step += 1
            found.append(evaluate(task, model, valid, task.settings.precision).metrics["accuracy"])
        shown = "  ".join(f"{accuracy:.1%}" for accuracy in found)
        print(f"{name:<38}{shown}   {perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
