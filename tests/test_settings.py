"""Settings: what is refused and how it is told, durations, and which of two sources wins."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from seqloom import parts
from seqloom.errors import SettingError
from seqloom.settings import TrainingSettings, duration, override, read_config
from seqloom.tasks.classify import ClassifySettings
from seqloom.tasks.language import LanguageSettings

# --- one value --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("1h 30m", 5400), ("0.5s", 0.5), ("1d", 86400)],
)
def test_durations(written: str, seconds: float) -> None:
    assert duration(written) == seconds
    assert ClassifySettings.parse({"budget": written}).budget == seconds
    assert ClassifySettings.parse({"checkpoint_every": written}).checkpoint_every == seconds


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_of_several_pieces_is_their_sum(hours: int, minutes: int, seconds: int) -> None:
    assert duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


def test_a_number_is_seconds() -> None:
    assert duration(12.5) == 12.5
    assert ClassifySettings.parse({"budget": 30}).budget == 30


@pytest.mark.parametrize("written", ["", "10", "m", "10x", "10m!", "-5m", "5m-", "1,5h", "ten minutes", "5 m 3"])
def test_what_is_no_duration(written: str) -> None:
    with pytest.raises(ValueError, match="write 90s, 10m, 2h or 1h30m"):
        duration(written)
    with pytest.raises(SettingError, match=r'setting "budget" is .*write 90s, 10m, 2h or 1h30m'):
        ClassifySettings.parse({"budget": written})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("hiden", 5, 'there is no setting "hiden"; did you mean "hidden"?'),
        ("pooling", "mena", 'setting "pooling" is "mena"; did you mean "mean"?'),
        ("cell", "gruu", '"gruu" is not one of the cells; did you mean "gru"?'),
        ("tokenizer", "words", '"words" is not one of the tokenizers; did you mean "word"?'),
        ("bad_rows", "skp", 'did you mean "skip"?'),
        ("hidden", 0, "greater than or equal to 1"),
        ("hidden", -3, "greater than or equal to 1"),
        ("hidden", "many", "a valid integer"),
        ("hidden", 1.5, "a valid integer"),
        ("dropout", 1.0, "less than 1"),
        ("dropout", -0.1, "greater than or equal to 0"),
        ("dropout", float("nan"), "a finite number"),
        ("lr", 0, "greater than 0"),
        ("lr", float("inf"), "a finite number"),
        ("budget", "0s", "greater than 0"),
        ("epochs", 0, "greater than or equal to 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, "less than 9223372036854775808"),
        ("split", 1, "less than 1"),
        ("lowercase", "perhaps", "a valid boolean"),
        ("text", 3, "a valid string"),
    ],
)
def test_what_is_refused_and_how(name: str, value: Any, told: str) -> None:
    with pytest.raises(SettingError) as refused:
        ClassifySettings.parse({name: value})
    assert refused.value.exit_status == 2
    assert told in refused.value.message
    assert f'"{name}"' in refused.value.message


def test_words_of_the_command_line_are_converted() -> None:
    s = ClassifySettings.parse({"hidden": "12", "lr": "1e-3", "lowercase": "false", "epochs": "4"})
    assert (s.hidden, s.lr, s.lowercase, s.epochs) == (12, 1e-3, False, 4)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ClassifySettings().hidden = 3  # type: ignore[misc]


def test_epochs_and_a_budget_do_not_go_together() -> None:
    with pytest.raises(SettingError, match="give epochs or budget, not both"):
        ClassifySettings.parse({"epochs": 3, "budget": "10m"})
    assert ClassifySettings.parse({"epochs": 3}).budget is None
    assert ClassifySettings.parse({"budget": "5m"}).epochs is None
    assert ClassifySettings.parse({}).budget is not None  # without either there is an end too


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", parts.names("tasks"))
def test_every_setting_has_a_help_text_and_a_default_within_its_own_limits(task: str) -> None:
    settings = parts.part("tasks", task).Settings
    assert settings.parse(settings().plain()) == settings()
    for name in settings.model_fields:
        assert settings.help(name).endswith("."), name
        assert "\n" not in settings.help(name)


def test_help_of_a_setting_whose_default_a_task_changes_is_that_of_its_group() -> None:
    assert LanguageSettings.help("batch") == TrainingSettings.help("batch") != ""
    assert LanguageSettings.help("no_such") == ""


# --- files and flags --------------------------------------------------------------------------------------------------


def test_a_config_file(tmp_path: Path) -> None:
    file = tmp_path / "설정.toml"
    file.write_text('task = "language"\nweight-decay = 0.1\nbudget = "10m"\ntext = "본문"\n', "utf-8")
    assert read_config(file) == {"task": "language", "weight_decay": 0.1, "budget": "10m", "text": "본문"}


def test_a_run_toml_is_a_config_file(tmp_path: Path) -> None:
    settings = ClassifySettings.parse({"hidden": 3, "epochs": 2, "label": "좋음"})
    file = tmp_path / "run.toml"
    contents = {"format": 1, "task": "classify", "settings": settings.plain(), "data": {"train": {"file": "x.csv"}}}
    file.write_text(tomli_w.dumps(contents), "utf-8")
    values = read_config(file)
    assert values.pop("task") == "classify"
    assert ClassifySettings.parse(values) == settings


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (b"hidden = \n", "line 1"),
        (b"hidden = 3\nhidden = 4\n", "line 2"),
        (b"text = '\xff'", "0xff"),
        (b"settings = 3", "a table of settings"),
    ],
)
def test_a_config_file_that_is_none(tmp_path: Path, contents: bytes, told: str) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(contents)
    with pytest.raises(SettingError) as refused:
        read_config(file)
    assert "c.toml" in refused.value.message
    assert told in refused.value.message


def test_a_config_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "no.toml", tmp_path):
        with pytest.raises(SettingError, match="cannot read the settings file"):
            read_config(path)


def test_what_is_given_goes_over_what_was_there() -> None:
    assert override({"hidden": 3, "lr": 0.1}, {"hidden": 4, "cell": None}) == {"hidden": 4, "lr": 0.1}
    assert override({"budget": "10m", "lr": 1}, {"epochs": 3}) == {"lr": 1, "epochs": 3}
    assert override({"epochs": 3}, {"budget": "1m"}) == {"budget": "1m"}
    assert override({"epochs": 3}, {"budget": None}) == {"epochs": 3}


@given(st.integers(1, 10**6), st.floats(1e-6, 10), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_settings_come_back_from_toml_to_the_bit(hidden: int, lr: float, label: str) -> None:
    settings = ClassifySettings.parse({"hidden": hidden, "lr": lr, "label": label, "epochs": 7})
    assert ClassifySettings.parse(tomllib.loads(tomli_w.dumps(settings.plain()))) == settings
