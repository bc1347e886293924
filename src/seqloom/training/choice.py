"""The settings of a training held against its task, also while the task is not known yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqloom.errors import SettingError, nearest
from seqloom.parts import names, part
from seqloom.settings import Settings
from seqloom.tasks.base import Task

__all__ = ["check_settings", "parse"]


def check_settings(task: str | None, values: Mapping[str, Any]) -> None:
    """Refuses what the task would refuse; where the file has yet to decide the task, what every task would.

    Raises:
        SettingError: there is no such task, a setting is unknown or out of range, or no task has all of the settings.
    """
    if task is not None:
        if task not in names("tasks"):
            raise SettingError(f'"{task}" is not one of the tasks', help=nearest(str(task), names("tasks")))
        parse(part("tasks", task), values)
        return
    fields = {name: part("tasks", name).Settings.model_fields.keys() for name in names("tasks")}
    owners = {setting: [name for name in fields if setting in fields[name]] for setting in values}
    for setting in values:
        if not owners[setting]:
            raise SettingError(f'there is no setting "{setting}"', help=nearest(setting, set().union(*fields.values())))
    able = [name for name in fields if values.keys() <= fields[name]]
    if not able:
        told = [f'"{setting}" is of {" and ".join(of)}' for setting, of in owners.items() if len(of) < len(fields)]
        raise SettingError("no task has all of these settings", help="; ".join(told))
    refusals = [refusal for name in able if (refusal := _refusal(part("tasks", name), values))]
    if len(refusals) == len(able):
        raise refusals[0]


def _refusal(task: type[Task], values: Mapping[str, Any]) -> SettingError | None:
    try:
        parse(task, values)
    except SettingError as refusal:
        return refusal
    return None


def parse(task: type[Task], values: Mapping[str, Any]) -> Settings:
    """The settings of the task; a setting of another task is told apart from a misspelt one.

    Raises:
        SettingError: a setting is unknown, of another task, or out of range.
    """
    for name in values.keys() - task.Settings.model_fields.keys():
        owners = [other for other in names("tasks") if name in part("tasks", other).Settings.model_fields]
        if owners:
            raise SettingError(
                f'"{name}" is a setting of {" and ".join(owners)}; this run is {task.name}',
                help=f"leave it out, or choose --task {owners[0]}",
            )
    return task.Settings.parse(dict(values))
