"""``seqloom evaluate``."""

from __future__ import annotations

from pathlib import Path

from seqloom.cli.output import note, print_json, print_table


def evaluate(run: Path, file: Path, /, *, json: bool = False) -> None:
    """Score a trained model on another file.

        $ seqloom evaluate runs/reviews-classify-1 more-reviews.csv

    Args:
        run: Run folder that train made.
        file: File of the same kind as the one trained on.
        json: Print all scores as JSON.
    """
    from seqloom.predict import load

    predictor = load(run)
    scores = predictor.evaluate(file)
    if json:
        print_json(scores)
    else:
        numbers = {name: value for name, value in scores.items() if isinstance(value, int | float)}
        print_table([{"score": name.replace("_", " "), "value": value} for name, value in numbers.items()])
    tell_unknown(predictor.unknown)


def tell_unknown(count: int) -> None:
    """Says how many tokens the vocabulary did not know."""
    if count:
        note(f"{count:,} unknown {'token' if count == 1 else 'tokens'}: never, or too rarely, seen in training")
