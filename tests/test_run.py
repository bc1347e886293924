"""The run folder: made, opened, replaced under real kills, sealed and checked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seqloom import run as runs
from seqloom.errors import RunError
from seqloom.run import Run


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its bytes; None for a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def sealed(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "run", {"task": "classify", "settings": {"hidden": 7}})
    runs.write_json(run.preprocess / "tokenizer.json", {"tokenizer": "jamo", "tokens": ["ㄱ", "ㅏ"]})
    runs.write_json(run.preprocess / "labels.json", ["좋다", "나쁘다"])
    runs.write_bytes(run.weights, bytes(range(256)) * 40)
    runs.write_json(run.summary, {"task": "classify"})
    runs.write_jsonl(run.examples, [{"text": "재미있다", "label": "좋다"}])
    run.seal()
    return run


# --- making -----------------------------------------------------------------------------------------------------------


def test_a_new_run_says_what_it_is(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "runs" / "리뷰-classify-1", {"task": "classify", "settings": {"text": "본문"}})
    assert sorted(os.listdir(run.path)) == ["checkpoints", "preprocess", "run.toml"]
    contents = Run.open(run.path).read_toml()
    assert contents["format"] == runs.FORMAT == 1
    assert contents["settings"] == {"text": "본문"}
    assert {"seqloom", "created", "task"} <= contents.keys()
    assert contents["created"].endswith("Z")
    assert run.name == "리뷰-classify-1"
    assert not run.finished


def test_a_run_is_never_overwritten_unasked(sealed: Run) -> None:
    before = tree(sealed.path)
    with pytest.raises(RunError, match="holds a run already") as caught:
        Run.create(sealed.path, {})
    assert caught.value.exit_status == 4
    assert "--overwrite" in str(caught.value)
    with pytest.raises(RunError, match="holds a run already"):
        runs.check_free(sealed.path)
    assert tree(sealed.path) == before


def test_overwrite_replaces_the_whole_run(sealed: Run) -> None:
    run = Run.create(sealed.path, {"task": "language"}, overwrite=True)
    assert sorted(os.listdir(run.path)) == ["checkpoints", "preprocess", "run.toml"]
    assert os.listdir(run.preprocess) == []
    assert run.read_toml()["task"] == "language"
    assert os.listdir(run.path.parent) == ["run"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "holds", ["thesis.txt", "preprocess/mine.txt", "preprocess/", ".run.toml.tmp", "model.safetensors"]
)
def test_a_folder_that_is_not_a_run_is_never_touched(tmp_path: Path, holds: str, overwrite: bool) -> None:
    place = tmp_path / "work"
    (place / holds).parent.mkdir(parents=True)
    (place / holds).mkdir() if holds.endswith("/") else (place / holds).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(RunError, match="is not a run folder"):
        Run.create(place, {}, overwrite=overwrite)
    assert tree(tmp_path) == before
    (place.parent / "file").write_text("mine")
    with pytest.raises(RunError, match="is not a run folder"):
        Run.create(place.parent / "file", {}, overwrite=overwrite)
    assert (place.parent / "file").read_text() == "mine"


def test_an_empty_folder_is_taken_also_the_current_one(in_tmp: Path) -> None:
    run = Run.create(".", {"task": "classify"})
    assert run.name == in_tmp.name
    assert sorted(os.listdir(".")) == ["checkpoints", "preprocess", "run.toml"]
    assert Run.open(".").name == in_tmp.name


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    Run.create(tmp_path / "disk" / "big", {"task": "old"})
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "big")
    run = Run.create(tmp_path / "run", {"task": "new"}, overwrite=True)
    assert (tmp_path / "run").is_symlink()
    assert Run.open(tmp_path / "run").read_toml()["task"] == "new"
    assert run.read_toml()["task"] == "new"
    assert os.listdir(tmp_path / "disk") == ["big"]


@pytest.mark.parametrize("empty", [False, True])
def test_a_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool) -> None:
    if empty:
        (tmp_path / "run").mkdir()
    before = tree(tmp_path)

    def fail(descriptor: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(RunError, match="No space left"):
            Run.create(tmp_path / "run", {})
    assert tree(tmp_path) == before
    Run.create(tmp_path / "run", {})


def test_a_failed_overwrite_puts_the_old_run_back(sealed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(sealed.path.parent)

    def fail(descriptor: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(RunError, match="No space left"):
            Run.create(sealed.path, {}, overwrite=True)
    assert tree(sealed.path.parent) == before


def test_a_folder_below_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="Not a directory"):
        Run.create(tmp_path / "file" / "run", {})


@pytest.mark.parametrize("empty", [False, True])
def test_of_two_that_find_the_folder_free_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    if empty:
        (tmp_path / "run").mkdir()
    really_check = Run._check_free

    def check_and_be_overtaken(self: Run, overwrite: bool) -> bool:
        found = really_check(self, overwrite)
        monkeypatch.undo()
        Run.create(tmp_path / "run", {"task": "the other's"})
        return found

    monkeypatch.setattr(Run, "_check_free", check_and_be_overtaken)
    with pytest.raises(RunError, match="just been made by another process"):
        Run.create(tmp_path / "run", {"task": "mine"})
    run = Run.open(tmp_path / "run")
    assert run.read_toml()["task"] == "the other's"
    assert sorted(os.listdir(run.path)) == ["checkpoints", "preprocess", "run.toml"]


def kill_in_overwrite(work: Path) -> None:
    """Overwrites a run in child processes, each killed one call later than the last, until one lives."""
    for point in range(1000):
        run = Run.create(work / f"{point:02d}" / "run", {"task": "old"})
        (run.preprocess / "labels.json").write_text("old")
        child = os.fork()
        if child == 0:
            kill_at(point)
            Run.create(run.path, {"task": "new"}, overwrite=True)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


def kill_at(point: int) -> None:
    passed = 0

    def wrap(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal passed
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1
            return real(*arguments, **options)

        return call

    for name in ("open", "write", "fsync", "close", "replace", "rename", "mkdir", "unlink", "rmdir"):
        setattr(os, name, wrap(getattr(os, name)))


def test_a_kill_while_overwriting_leaves_the_old_run_or_the_new(tmp_path: Path) -> None:
    subprocess.run([sys.executable, __file__, tmp_path], check=True, timeout=60)
    points = sorted(tmp_path.iterdir())
    tasks = []
    for point in points:
        with pytest.raises(RunError, match="holds a run already"):
            Run.create(point / "run", {"task": "third"})
        found = Run.open(point / "run")
        tasks.append(found.read_toml()["task"])
        assert (found.preprocess / "labels.json").exists() == (tasks[-1] == "old")
        Run.create(point / "run", {"task": "third"}, overwrite=True)
        assert sorted(os.listdir(point)) == ["run"]
        assert sorted(os.listdir(point / "run")) == ["checkpoints", "preprocess", "run.toml"]
    switch = tasks.index("new")
    assert tasks == ["old"] * switch + ["new"] * (len(tasks) - switch)
    assert 10 < switch < len(tasks) - 5


def test_a_run_that_an_overwrite_left_aside_is_pointed_to(sealed: Run) -> None:
    os.replace(sealed.path, sealed.path.parent / ".run.replaced")  # what a kill between two renames leaves
    with pytest.raises(RunError, match="there is no run folder") as caught:
        Run.open(sealed.path)
    assert ".run.replaced" in str(caught.value)


# --- opening ----------------------------------------------------------------------------------------------------------


def test_what_is_not_a_run_is_said(sealed: Run) -> None:
    (sealed.path.parent / "empty").mkdir()
    for name, said in (
        ("runn", 'there is no run folder .*\n.*did you mean "run"'),
        ("empty", "is not a run folder: it has no run.toml"),
        ("run/run.toml", "is a file, not a run folder"),
    ):
        with pytest.raises(RunError) as caught:
            Run.open(sealed.path.parent / name)
        assert caught.value.exit_status == 4
        assert caught.match(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('format = 2\nseqloom = "9.1"\n', r"made by seqloom 9\.1, in format 2; this one reads up to 1"),
        ("format = 1\ntask = \n", r"run\.toml is damaged: .*line 2"),
        ('task = "classify"\n', "does not say its format"),
        ('format = "one"\n', "does not say its format"),
        ("", "does not say its format"),
    ],
)
def test_a_damaged_or_newer_run_is_said(sealed: Run, text: str, said: str) -> None:
    sealed.toml.write_text(text)
    with pytest.raises(RunError, match=said):
        Run.open(sealed.path)


def test_default_paths_are_the_first_that_are_free(in_tmp: Path) -> None:
    assert runs.default_path("data/reviews.csv.gz", "classify") == Path("runs/reviews-classify-1")
    Run.create("runs/reviews-classify-1", {})
    Run.create("runs/reviews-classify-3", {})
    assert runs.default_path("/data/reviews.tsv", "classify") == Path("runs/reviews-classify-2")
    assert runs.default_path("reviews.tsv", "language") == Path("runs/reviews-language-1")
    assert runs.default_path("-", "language") == Path("runs/data-language-1")
    assert runs.default_path(".v1.2.리뷰.jsonl", "tag") == Path("runs/v1.2.리뷰-tag-1")
    Run.create(runs.default_path("가" * 80 + ".txt", "language"), {})  # a file name may have 255 bytes, not more


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_after_a_checkpoint_are_dropped_and_lived_anew(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    assert run.read_metrics() == []
    run.truncate_metrics(0)
    for step in (10, 20, 30):
        run.append_metrics({"part": "train", "step": step, "loss": 1 / step})
        run.append_metrics({"part": "valid", "step": step, "loss": 2 / step})
    with run.metrics.open("ab") as file:
        file.write(b'{"part": "train", "st')
    run.truncate_metrics(20)
    assert [(report["part"], report["step"]) for report in run.read_metrics()] == [
        ("train", 10),
        ("valid", 10),
        ("train", 20),
        ("valid", 20),
    ]
    run.append_metrics({"part": "valid", "step": 20, "loss": 0.5})
    assert run.read_metrics()[-1] == {"part": "valid", "step": 20, "loss": 0.5}
    assert len(run.read_metrics()) == 4


# --- sealing ----------------------------------------------------------------------------------------------------------


def test_a_sealed_run_is_whole_also_when_copied(sealed: Run, tmp_path: Path) -> None:
    assert sealed.finished
    sealed.verify()
    runs.write_text(sealed.report, "<html>")  # not sealed: it may be written anew at any time
    sealed.append_metrics({"part": "train", "step": 1})
    copy = Run.open(shutil.copytree(sealed.path, tmp_path / "copy"))
    copy.verify()
    listed = runs.read_json(sealed.manifest)["files"]
    assert sorted(listed) == [
        "examples.jsonl",
        "model.safetensors",
        "preprocess/labels.json",
        "preprocess/tokenizer.json",
        "run.toml",
        "summary.json",
    ]
    assert listed["model.safetensors"]["bytes"] == 10240


@pytest.mark.parametrize("how", ["missing", "cut off", "flipped bit", "grown"])
@pytest.mark.parametrize(
    "file", ["run.toml", "preprocess/labels.json", "model.safetensors", "summary.json", "examples.jsonl"]
)
def test_a_sealed_run_that_changed_is_refused(sealed: Run, file: str, how: str) -> None:
    path = sealed.path / file
    data = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "cut off":
        path.write_bytes(data[:-3])
    elif how == "grown":
        path.write_bytes(data + b"\n")
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(RunError) as caught:
        sealed.verify()
    expected = {"missing": "is missing", "flipped bit": "was changed after training"}.get(
        how, "bytes; when training ended"
    )
    assert str(path) in caught.value.message
    assert expected in caught.value.message
    assert caught.value.exit_status == 4
    assert caught.value.help


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"files": {}}', '{"files": {"run.toml": 1, "model.safetensors": 2}}',
     '{"files": {"../other": {}, "run.toml": {}, "model.safetensors": {}}}'],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(sealed: Run, text: str) -> None:
    sealed.manifest.write_text(text)
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        sealed.verify()


def test_a_run_that_is_not_finished_is_not_whole(sealed: Run) -> None:
    sealed.manifest.unlink()
    with pytest.raises(RunError, match="is not finished") as caught:
        sealed.verify()
    assert "seqloom resume" in str(caught.value)
    sealed.weights.unlink()
    with pytest.raises(RunError, match=r"model\.safetensors: No such file"):
        sealed.seal()
    assert not sealed.finished


def test_environment_names_versions_and_machine() -> None:
    found = runs.environment()
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["torch"]
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["machine"]["processor"]


def test_importing_run_imports_nothing_heavy() -> None:
    code = "import sys, seqloom.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "polars", "pydantic", "pickle"} & set(done.stdout.split())


if __name__ == "__main__":
    kill_in_overwrite(Path(sys.argv[1]))
