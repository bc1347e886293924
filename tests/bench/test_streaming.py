"""The figures of ``python -m bench.streaming``, and that rows really go through a trained model."""

from __future__ import annotations

from pathlib import Path

from bench import streaming


def test_figures_are_means_and_medians() -> None:
    # 20 rows of 100 us, but for the first two of 300 us: the mean is 120 us, and the first tenth are those two
    found = streaming.figures([300e-6, 300e-6, *[100e-6] * 18])
    assert found == ["**8,333**", "100", "300", "100", "300"]


def test_rows_have_a_time_and_numbers() -> None:
    found = list(streaming.rows(30, 2))
    assert found[25]["time"] == "2024-01-02T01:00:00"
    assert found[0].keys() == {"time", "value 1", "value 2"}


def test_a_stream_is_timed(tmp_path: Path) -> None:
    run = streaming.train(tmp_path, 2, model="every-step", cell="gru", layers=1, hidden=4, threads=1)
    found = streaming.seconds(run, 2, 5)
    assert len(found) == 5 and all(second > 0 for second in found)
