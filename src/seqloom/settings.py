"""Typed settings: one name for the field, the TOML key and the flag; one place for its default, its help and its check.

A task composes its settings from the groups below and gives the defaults that suit it. A group's field without a
default is one that every task must choose for itself.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from seqloom import parts
from seqloom.errors import SettingError, nearest

__all__ = [
    "DataSettings",
    "RecurrentSettings",
    "Settings",
    "TextSettings",
    "TokenizerSettings",
    "TrainingSettings",
    "duration",
    "override",
    "read_config",
]

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(value: object) -> object:
    """Seconds from ``"90s"``, ``"10m"``, ``"2h"`` or ``"1h30m"``; a number stays what it is.

    >>> duration("1h30m")
    5400.0
    """
    if not isinstance(value, str):
        return value
    pieces = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
    if not pieces or "".join(f"{number}{unit}" for number, unit in pieces) != value.replace(" ", ""):
        raise ValueError(f'"{value}" is not a duration; write 90s, 10m, 2h or 1h30m')
    return sum(float(number) * UNITS[unit] for number, unit in pieces)


def _part_of(kind: str) -> AfterValidator:
    def known(name: str) -> str:
        if name != "auto" and name not in parts.names(kind):
            raise ValueError(f'"{name}" is not one of the {kind}; {nearest(name, parts.names(kind))}')
        return name

    return AfterValidator(known)


Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, lt=1)]
Duration = Annotated[float, BeforeValidator(duration), Field(gt=0)]
CellName = Annotated[str, _part_of("cells")]
ForecasterName = Annotated[str, _part_of("forecasters")]
Averaged = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=10)]
VocabularySize = Annotated[int, Field(ge=3)]
TokenizerName = Annotated[str, _part_of("tokenizers")]


class Settings(BaseModel):
    """The base of every group: frozen, and an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Settings from plain values (flags, TOML keys or keywords).

        Raises:
            SettingError: a name is unknown, or a value of the wrong type or out of range.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingError(_explain(cls, error.errors()[0])) from None

    @classmethod
    def help(cls, name: str) -> str:
        """What a setting does: the text below its field, here or in the group it comes from."""
        for parent in cls.__mro__:
            fields = parent.__dict__.get("__pydantic_fields__", {})
            if name in fields and fields[name].description:
                return " ".join(fields[name].description.split())
        return ""

    def plain(self) -> dict[str, Any]:
        """The settings as TOML can hold them: what is not set is left out."""
        return self.model_dump(mode="json", exclude_none=True)


def _explain(settings: type[Settings], error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f'there is no setting "{name}"; {nearest(name, settings.model_fields)}'
    if error["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f'setting "{name}" is "{error["input"]}"; {nearest(str(error["input"]), choices)}'
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    given = f'setting "{name}" is {error["input"]!r}' if name else "these settings do not go together"
    return f"{given}; allowed: {message}" if error["type"] != "value_error" else f"{given}: {message}"


def _listed(value: object) -> object:
    """A list that the command line writes with commas between."""
    return [piece for each in value.split(",") if (piece := each.strip())] if isinstance(value, str) else value


Columns = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Levels = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(_listed)]


class DataSettings(Settings):
    """Which part of the user's file is what."""

    valid: str | None = None
    """File to validate on; without it a part of FILE is split off."""
    split: Share = 0.1
    """Share of FILE that is split off for validation; 0 trains and validates on the whole (for toys)."""
    encoding: str = "utf-8"
    """Text encoding of the files, for instance utf-8, cp949, latin-1."""
    bad_rows: Literal["error", "skip"] = "error"
    """What a broken row does: stop with an error, or be skipped and written to RUN/rejects.jsonl."""


class TextSettings(DataSettings):
    """Where the text stands."""

    text: str | None = None
    """Column that holds the text; found by itself when not given."""


class TokenizerSettings(Settings):
    """How text becomes numbers."""

    tokenizer: TokenizerName
    """What a token is; auto lets the text decide."""
    lowercase: bool
    """Fold upper case to lower case before anything else."""
    min_frequency: Positive
    """Tokens seen less often in the training part are unknown."""
    vocabulary: VocabularySize
    """Most tokens that the vocabulary may hold."""
    embedding: Natural
    """Size of the token vectors; 0 feeds one-hot vectors."""


class RecurrentSettings(Settings):
    """The recurrent part of a model."""

    cell: CellName
    """The recurrence at each time step."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """Activation of the elman cell."""
    layers: Positive
    """Recurrent layers on top of each other."""
    hidden: Positive
    """Hidden units of each layer and direction."""
    dropout: Share
    """Share of activations dropped in training."""


class TrainingSettings(Settings):
    """How a model is trained, whatever its task."""

    batch: Positive
    """Examples (or parallel streams of text) in one step."""
    lr: LearningRate
    """Peak learning rate of AdamW."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Decoupled weight decay of AdamW."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate over time: warm-up and then cosine, or always the same."""
    warmup: Share = 0.05
    """Share of the training in which the learning rate rises (cosine only)."""
    average: Averaged = 0.0
    """Judge and keep the mean of the weights over about this last share of the steps taken; 0 keeps the weights as the
    last step left them."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient; a longer one is scaled down."""
    epochs: Positive | None = None
    """Passes over the training part, instead of a budget; the same seed then gives the same bits."""
    budget: Duration | None = 600.0
    """Wall-clock time of the whole command: 90s, 10m, 2h."""
    most_epochs: Natural = 0
    """Passes over the training part after which a budget's training ends, however much time is left (but not before
    1,500 steps); 0 takes all the time there is."""
    patience: Natural = 5
    """Stop after so many evaluations without a better one; 0 never stops early."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Matrix products in fp32 or bf16; auto takes bf16 where the processor has it."""
    threads: Positive | None = None
    """Processor threads; all that this process may use when not given."""
    seed: Seed = 1
    """Seed of everything random."""
    checkpoint_every: Duration = 30.0
    """Time between checkpoints: 30s, 5m."""

    @model_validator(mode="before")
    @classmethod
    def _epochs_replace_the_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("epochs") is not None:
            if values.get("budget") is not None:
                raise ValueError("give epochs or budget, not both")
            return {**values, "budget": None}
        return values


def read_config(path: str | Path) -> dict[str, Any]:
    """The values of a ``--config`` file: a flat TOML table of settings.

    Raises:
        SettingError: the file is not there, or is not TOML (says the line).
    """
    try:
        values = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingError(f'cannot read the settings file "{path}": {error.strerror}') from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f'"{path}" is not a TOML file: {error}') from None
    # A run.toml works as a settings file too: its settings are in one table.
    settings = values.get("settings", values)
    if not isinstance(settings, dict):
        raise SettingError(f'"settings" in "{path}" is {settings!r}; allowed: a table of settings')
    if "settings" in values and "task" in values:
        settings = {"task": values["task"], **settings}
    return {name.replace("-", "_"): value for name, value in settings.items()}


def override(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``values`` with those that were ``given`` put over them: what is None was not given.

    Epochs that are given replace a budget, and a budget replaces epochs.
    """
    given = {name: value for name, value in given.items() if value is not None}
    replaced = {"epochs", "budget"} if given.keys() & {"epochs", "budget"} else set()
    return {name: value for name, value in values.items() if name not in replaced} | given
