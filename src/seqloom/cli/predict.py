"""``seqloom predict``."""

from __future__ import annotations

import csv as csv_format
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from cyclopts import Parameter

from seqloom.cli.evaluate import tell_unknown
from seqloom.cli.output import note, print_json, spell
from seqloom.cli.usage import Whole
from seqloom.errors import DataError, SettingError


def predict(
    run: Path,
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    quantiles: str | None = None,
    horizon: Whole | None = None,
    short_series: Literal["error", "skip"] = "error",
    csv: bool = False,
    json: bool = False,
) -> None:
    """Predict: one line of JSON a record, to standard output.

    A file is read as in training, its label column not needed. "-" reads standard input, one text a line, and answers
    each line at once, so that a program can talk to it through a pipe.

    A forecast goes on from the end of each series, a line for each step. From "-" it reads rows, csv with a header or
    JSON objects, and answers each row with the forecast behind it.

        $ seqloom predict runs/reviews-classify-1 new-reviews.csv
        $ echo "a fine film" | seqloom predict runs/reviews-classify-1 -
        $ seqloom predict runs/temperatures-forecast-1 temperatures.csv --quantiles 0.05,0.5,0.95
        $ tail -f meter.csv | seqloom predict runs/meter-forecast-1 -

    Args:
        run: Run folder that train made.
        file: File of records, or - for standard input.
        quantiles: Quantiles beside a forecast (0.05,0.5,0.95), in place of those it was trained with.
        horizon: Rows to forecast; another number than the trained one is refused.
        short_series: What a series with too few rows does, when all others are forecast: end with an error, or be left
            out and told.
        csv: Print a table with a header (csv).
        json: Print JSON lines, as it does by itself.
    """
    if csv and json:
        raise SettingError("give --csv or --json, not both")
    if str(file) == "-" and short_series != "error":
        raise SettingError("--short-series is for files: rows one by one are answered when there are enough of them")
    if str(file).startswith("--"):  # the price of taking "-" for an argument
        raise SettingError(f'there is no option "{file}"', help="see: seqloom predict --help")
    from seqloom.predict import load

    predictor = load(run)
    options = {"quantiles": quantiles, "horizon": horizon}
    if str(file) != "-":
        found = predictor.predict_file(file, short_series=short_series, **options)
    elif hasattr(predictor.task, "stream"):
        found = _forecasts(predictor, sys.stdin.buffer, options, flat=csv)
    else:
        found = _answers(predictor, sys.stdin.buffer, options)
    if csv:
        _print_csv(found)
    else:
        for prediction in found:
            print_json(prediction, indent=None)
    tell_unknown(predictor.unknown)
    if predictor.left_out:
        note(f"left out: {predictor.left_out}")


def _forecasts(predictor: Any, stream: IO[bytes], options: dict[str, Any], *, flat: bool) -> Iterator[dict[str, Any]]:
    """The forecast behind each row; for a table one record a step."""
    from seqloom.cli.rows import rows_as_they_come

    answered = came = 0
    alone = (
        predictor.settings.target[0] if not predictor.settings.time and len(predictor.settings.target) == 1 else None
    )
    for line, row in rows_as_they_come(stream, alone):
        came += 1
        try:
            forecast = predictor.step(row, **options)
        except DataError as error:
            error.file, error.line = "standard input", line
            raise
        if forecast is None:
            continue
        answered += 1
        yield from predictor.task.records(None, (), [forecast]) if flat else [forecast]
    if not answered:
        raise DataError(
            f"{came:,} rows came, and a forecast reads {predictor.settings.look_back:,}",
            code="D058",
            file="standard input",
            help="send more rows of a series, the oldest first",
        )


def _answers(predictor: Any, stream: IO[bytes], options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    number = 0
    for lines in _as_they_come(stream):
        texts = [_text(line, number + place) for place, line in enumerate(lines, 1)]
        for place, prediction in enumerate(predictor.predict(texts, **options), 1):
            yield {"line": number + place, **prediction}
        number += len(lines)


def _as_they_come(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """The whole lines that are there already, together; waits only when there is none."""
    rest = b""
    while piece := stream.read1(1 << 16):  # type: ignore[attr-defined]  # a buffered reader has it
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte 0x{line[error.start]:02x} is not UTF-8",
            code="D020",
            file="standard input",
            line=number,
            column=error.start + 1,
            help="convert the text: iconv -f ENCODING -t utf-8",
        ) from None


def _print_csv(predictions: Iterable[Mapping[str, Any]]) -> None:
    writer = csv_format.writer(sys.stdout, lineterminator="\n")
    header: list[str] = []
    for prediction in predictions:
        row = _flat(prediction)
        if not header:
            header = list(row)
            writer.writerow(header)
        writer.writerow([row.get(name, "") for name in header])
        sys.stdout.flush()


def _flat(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """One cell a value: each probability has a column, and what else is not one value stands as JSON."""
    row: dict[str, Any] = {}
    for name, value in prediction.items():
        if name == "probabilities":
            row |= {f"probability {label}": share for label, share in value.items()}
        else:
            row[name] = spell(value) if isinstance(value, Mapping | list | tuple) else value
    return row
