"""Settings are held against the task before the file is read, as far as the task is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seqloom.errors import SettingError
from seqloom.parts import part
from seqloom.training.choice import check_settings, parse
from seqloom.training.train import train

REFUSED: list[tuple[str | None, dict[str, Any], str]] = [
    ("classify", {"hiden": 4}, 'there is no setting "hiden"; did you mean "hidden"?'),
    ("classify", {"horizon": 4}, '"horizon" is a setting of forecast; this run is classify'),
    ("clasify", {}, 'did you mean "classify"?'),
    (None, {"horizn": 4}, 'did you mean "horizon"?'),
    (None, {"hidden": 4, "poling": "last"}, 'did you mean "pooling"?'),
    (None, {"hidden": 0}, 'setting "hidden" is 0'),
    (None, {"horizon": -1}, 'setting "horizon" is -1'),
    (None, {"precision": "fp16"}, 'setting "precision" is "fp16"'),
    (None, {"horizon": 4, "pooling": "last", "hidden": 4}, '"horizon" is of forecast; "pooling" is of classify'),
]


@pytest.mark.parametrize(("task", "values", "told"), REFUSED)
def test_what_is_wrong_is_told_before_the_file_is_read(
    task: str | None, values: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr("seqloom.data.read.read", read)
    with pytest.raises(SettingError) as refused:
        train(tmp_path / "large.csv", task=task, **values)
    assert told in str(refused.value)
    config = tmp_path / "settings.toml"
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    config.write_text("\n".join([f'task = "{task}"'] * bool(task) + lines), "utf-8")
    with pytest.raises(SettingError) as again:
        train(tmp_path / "large.csv", config=config)
    assert str(again.value) == str(refused.value)


@pytest.mark.parametrize(
    ("task", "values"),
    [
        (None, {}),
        (None, {"hidden": 4, "valid": "dev.csv"}),
        (None, {"horizon": 4}),
        ("forecast", {"horizon": 4}),
        ("classify", {"text": "review", "pooling": "last"}),
    ],
)
def test_what_some_task_takes_is_let_through(task: str | None, values: dict[str, Any]) -> None:
    check_settings(task, values)


def test_settings_are_those_of_the_task() -> None:
    found = parse(part("tasks", "classify"), {"hidden": "7"})
    assert found == part("tasks", "classify").Settings(hidden=7)
