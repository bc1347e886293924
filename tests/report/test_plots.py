"""Plots say what they show, hold any number of labels, and never draw boxes for letters."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from seqloom.report import canvas, fonts, plots


def texts(svg: bytes) -> list[str]:
    """The texts of a plot, which matplotlib repeats as comments beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", svg.decode())


def reports(steps: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for step in range(1, steps + 1):
        rows.append({"part": "train", "step": step, "epoch": step / 10, "loss": 2 / step, "accuracy": 1 - 1 / step})
        if step % 5 == 0:
            rows.append(
                {"part": "valid", "step": step, "epoch": step / 10, "loss": 3 / step, "accuracy": 1 - 1.1 / step}
            )
    return rows


def test_curves_name_their_axes_lines_and_best_step() -> None:
    target = BytesIO()
    plots.curves(reports(20), target, best=15)
    found = texts(target.getvalue())
    for text in ("loss, training", "loss, validation", "accuracy, training", "accuracy, validation"):
        assert text in found
    assert {"step", "loss", "accuracy", "best, step 15", "40 %"} <= set(found)


def test_a_plot_for_a_phone_is_narrow_and_has_its_legend_in_rows() -> None:
    wide, phone = BytesIO(), BytesIO()
    plots.curves(reports(20), wide, best=15)
    with canvas.narrow():
        plots.curves(reports(20), phone, best=15)
    assert not canvas.is_narrow()
    assert b'width="604.8pt"' in wide.getvalue() and b'width="302.4pt"' in phone.getvalue()
    assert {"accuracy, validation", "best, step 15"} <= set(texts(phone.getvalue()))


def test_curves_of_a_recipe_without_validation_over_epochs(tmp_path: Path) -> None:
    rows = [row for row in reports(20) if row["part"] == "train"]
    plots.curves(rows, tmp_path / "curves.svg", metric="accuracy", x="epoch")
    found = texts((tmp_path / "curves.svg").read_bytes())
    assert "epoch" in found and "accuracy, training" in found
    assert "accuracy, validation" not in found and "step" not in found


def test_curves_of_language_show_perplexity() -> None:
    rows = [{"part": "train", "step": 1, "loss": 2.0, "accuracy": 0.4},
            {"part": "valid", "step": 1, "loss": 2.0, "accuracy": 0.4, "perplexity": 7.389}]  # fmt: skip
    target = BytesIO()
    plots.curves(rows, target)
    assert {"perplexity, training", "perplexity, validation"} <= set(texts(target.getvalue()))
    assert plots._value(rows[0], "perplexity") == pytest.approx(7.389, abs=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "oops"])
def test_curves_leave_out_what_is_not_a_number(value: object) -> None:
    rows = [{"part": "valid", "step": step, "loss": 1.0 if step < 3 else value} for step in range(1, 5)]
    assert plots._points(rows, "step", "loss") == [(1.0, 1.0), (2.0, 1.0)]
    plots.curves(rows, BytesIO())


def test_curves_without_any_report_are_an_empty_plot() -> None:
    target = BytesIO()
    plots.curves([], target)
    assert target.getvalue().rstrip().endswith(b"</svg>")


def test_format_follows_the_ending(tmp_path: Path) -> None:
    for ending, head in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        plots.curves(reports(6), tmp_path / f"plot.{ending}")
        assert (tmp_path / f"plot.{ending}").read_bytes().startswith(head)


def test_thin_takes_means_of_neighbours() -> None:
    points = [(1.0, 10.0), (2.0, 20.0), (3.0, 60.0), (4.0, 80.0), (5.0, 0.0)]
    assert plots.thin(points, most=5) == points
    # 5 points in 2 groups: round(2.5) = 2, so two points and three.
    assert plots.thin(points, most=2) == [(1.5, 15.0), (4.0, pytest.approx(140 / 3))]
    assert len(plots.thin([(float(x), 0.0) for x in range(100_003)], most=200)) == 200


def test_confusion_shows_every_label_and_count() -> None:
    target = BytesIO()
    assert plots.confusion(["bad", "good", "so-so"], [[7, 2, 0], [1, 12_345, 3], [0, 0, 1_250_000]], target) == {}
    found = texts(target.getvalue())
    assert {"bad", "good", "so-so", "7", "2", "12.3k", "1.2M", "true", "predicted"} <= set(found)


def test_largest_adds_up_all_others() -> None:
    counts = [[5, 1, 1, 0], [0, 1, 1, 0], [2, 0, 9, 1], [0, 0, 1, 2]]  # rows of 7, 2, 12, 3 records
    names, table = plots.largest(["a", "b", "c", "d"], counts, most=2)
    assert names == ["a", "c", "others (2)"]
    assert table == [[5, 1, 1], [2, 9, 1], [0, 2, 3]]
    assert plots.largest(["a", "b", "c", "d"], counts, most=4) == (["a", "b", "c", "d"], counts)


def test_confusion_of_many_labels() -> None:
    labels = [f"label name {index}" for index in range(57)]
    counts = [[10 + row if row == column else 1 for column in range(57)] for row in range(57)]
    target = BytesIO()
    assert plots.confusion(labels, counts, target) == {}
    found = texts(target.getvalue())
    assert found.count("others (37)") == 2 and "label name 56" in found and "label name 36" not in found


@pytest.mark.parametrize("labels", [[], ["one"], ["$x$", "$", "_", "\\frac{"], ["", "  ", "a\nb"], ["a" * 300, "b"]])
def test_confusion_of_odd_labels(labels: list[str]) -> None:
    counts = [[1] * len(labels) for _ in labels]
    target = BytesIO()
    assert plots.confusion(labels, counts, target) == {}
    assert target.getvalue().rstrip().endswith(b"</svg>")


def test_dollar_signs_are_no_mathematics() -> None:
    target = BytesIO()
    plots.confusion(["$x$", "y"], [[1, 0], [0, 1]], target)
    assert "$x$" in texts(target.getvalue())


def test_without_a_font_labels_are_numbered_and_told(no_fonts: None) -> None:
    target = BytesIO()
    stand_ins = plots.confusion(["긍정", "neutral", "부정"], [[5, 1, 0], [1, 4, 1], [0, 2, 6]], target)
    assert stand_ins == {"label 1": "긍정", "label 3": "부정"}
    found = texts(target.getvalue())
    assert {"label 1", "neutral", "label 3"} <= set(found)
    assert all(text.isascii() for text in found)
    assert "installed font can draw" in found


def test_korean_labels_are_drawn_with_their_own_outlines() -> None:
    if fonts.hangul() is None:
        pytest.skip("no font with Hangul is installed")
    pictures = []
    for label in ("한", "글"):
        target = BytesIO()
        assert plots.confusion([label, "b"], [[1, 0], [0, 1]], target, format="png") == {}
        pictures.append(target.getvalue())
    assert pictures[0] != pictures[1]  # boxes would be the same


def test_drawing_leaves_no_global_state() -> None:
    code = (
        "import sys; from io import BytesIO; from seqloom.report import plots, page, compare\n"
        "assert not {'matplotlib', 'jinja2', 'torch'} & sys.modules.keys()\n"
        "import matplotlib as m; keep = lambda: {k: m.rcParams[k] for k in m.rcParams if k != 'backend'}\n"
        "before = keep()\n"
        "plots.curves([{'part': 'train', 'step': 1, 'loss': 1.0}], BytesIO())\n"
        "plots.confusion(['a', 'b'], [[1, 0], [0, 1]], BytesIO())\n"
        "assert keep() == before and 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_steps_are_whole_numbers() -> None:
    target = BytesIO()
    plots.curves([{"part": "train", "step": step, "loss": 1 / step} for step in (1, 2, 3)], target)
    assert not {"1.5", "2.5"} & set(texts(target.getvalue()))
    assert {"1", "2", "3"} <= set(texts(target.getvalue()))
