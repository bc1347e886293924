"""What the recipes that learn a text show beyond their figures: the shapes, and the text written again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloom.predict import Predictor

__all__ = ["read_whole", "reassemble", "show_shapes"]


def read_whole(file: Path) -> str:
    """The text of a file as training joins its lines: the line break behind the last one is not part of it."""
    from seqloom.data.read import read_text

    return read_text(file).removesuffix("\n")


def show_shapes(predictor: Predictor, text: str) -> None:
    """Prints what goes in and out of each layer while the text is read letter by letter, for learners."""
    import torch

    task: Any = predictor.task
    tokens = torch.from_numpy(task.tokenizer.encode(text).astype("int64"))[None]  # [B=1, T+1]
    inputs, targets = tokens[:, :-1], tokens[0, 1:]
    model: Any = predictor.model
    with torch.no_grad():
        features = model.embedding(inputs)
        output, state = model.layers[0](features)
        scores, _ = model(inputs)
    print(f"input   [B, T]      {list(inputs.shape)}   the numbers of the letters {text[:-1]!r}")
    print(f"one-hot [B, T, I]   {list(features.shape)}   a one in the place of each letter, zeros elsewhere")
    print(f"output  [B, T, H]   {list(output.shape)}   the hidden units after each letter")
    print(f"state   [L*D, B, H] {list(state.shape)}   the hidden units after the last letter")
    print(f"scores  [B, T, V]   {list(scores.shape)}   one for each letter, and two for padding and unknown letters")
    for step, (letter, target) in enumerate(zip(inputs[0].tolist(), targets.tolist(), strict=True), start=1):
        guess = int(scores[0, step - 1].argmax())
        names = [task.tokenizer.token(token) for token in (letter, guess, target)]
        print(f"step {step}: after {names[0]!r} the model says {names[1]!r}, and the text has {names[2]!r}")


def reassemble(predictor: Predictor, text: str) -> tuple[str, float]:
    """The text as its windows give it again by argmax, and the share of its characters that is right.

    All characters of the first window's answer, then the last one of each other's; the first character of the text is
    given, and not counted.
    """
    import torch

    from seqloom.data.windows import windows

    task: Any = predictor.task
    tokens = task.tokenizer.encode(task.tokenizer.normalize(text))
    inputs, _ = windows(tokens, task.settings.window, 1)
    with torch.no_grad():
        guesses = predictor.model(torch.from_numpy(inputs.astype("int64")))[0].argmax(dim=2)  # [N, T]
    ids = [*guesses[0].tolist(), *guesses[1:, -1].tolist()]
    right = sum(guess == target for guess, target in zip(ids, tokens[1:].tolist(), strict=True))
    return task.tokenizer.decode([int(tokens[0]), *ids]), right / len(ids)
