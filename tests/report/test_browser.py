"""A real browser opens the page: the text is there, nothing is asked of the network, nothing is complained about."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from seqloom.report import page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]


def look(path: Path, folder: Path) -> tuple[str, list[str], list[str]]:
    """The page as the browser built it, what a page asked of the network, and the messages of its console."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("no headless Chromium is installed")
    log = folder / "network.json"
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    command = [browser, *flags, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    found = [event.get("params", {}) for event in json.loads(log.read_text("utf-8"))["events"]]
    # What the browser asks for itself has no initiator.
    asked = [
        event["url"] for event in found if "url" in event and event.get("initiator", "not an origin") != "not an origin"
    ]
    return done.stdout, asked, re.findall(r":CONSOLE.*", done.stderr)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("classify_run", ["Beats the best baseline", "&lt;script&gt;alert('less')"]),
     ("korean_run", ["생활문화", "이게 영화냐고 물으신다면", "뉴스-classify-1"]),
     ("language_run", ["KING HENRY", "오늘도 바닷가를"]),
     ("forecast_run", ["Error by step", "Nothing was learned or chosen on the test part"]),
     ("unfinished_run", ["This run is unfinished"])],
)  # fmt: skip
def test_page_in_a_browser(kind: str, words: list[str], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = page.write(request.getfixturevalue(kind))
    shown, asked, console = look(path, tmp_path)
    for word in words:
        assert word in shown
    assert (asked, console) == ([], [])


def test_browser_would_have_told(tmp_path: Path) -> None:
    """The same look at a page that does ask and does complain."""
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://127.0.0.1:9/x.png"><script>nothing_of_this_name()</script>', "utf-8")
    _, asked, console = look(bad, tmp_path)
    assert "http://127.0.0.1:9/x.png" in asked
    assert "nothing_of_this_name" in console[0]
