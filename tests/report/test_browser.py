"""A real browser opens the page: the text is there, nothing is asked of the network, nothing is complained about."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
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


PROBE = """<iframe id="frame" style="width: {width}px; height: 900px; border: 0" srcdoc="{page}"></iframe>
<script>
document.getElementById("frame").onload = event => {{
  const page = event.target.contentDocument;
  const seen = [...page.querySelectorAll("svg")].filter(svg => svg.checkVisibility());
  const shrunk = seen.map(svg => svg.getBoundingClientRect().width / (svg.viewBox.baseVal.width * 4 / 3));
  document.title = JSON.stringify({{page: page.documentElement.scrollWidth, plots: shrunk}});
}};
</script>"""
"""Says how wide a page becomes in a window, and each plot as a share of how it was drawn (a point is 4/3 pixels).

In a frame, since a window of the browser itself is no narrower than 500 pixels.
"""


def open_in_browser(path: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Has the browser build the page and print it."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("no headless Chromium is installed")
    command = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    return done


def look(path: Path, folder: Path) -> tuple[str, list[str], list[str]]:
    """The page as the browser built it, what a page asked of the network, and the messages of its console."""
    log = folder / "network.json"
    done = open_in_browser(path, folder, f"--log-net-log={log}")
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


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("kind", ["korean_run", "language_run", "korean_forecast_run"])
def test_page_fits_a_phone_and_a_desk(kind: str, width: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing stands out at the side, and no plot is shrunk until its words cannot be read."""
    text = page.write(request.getfixturevalue(kind)).read_text("utf-8")
    probed = tmp_path / "probed.html"
    probed.write_text(PROBE.format(width=width, page=escape(text)), "utf-8")
    shown = open_in_browser(probed, tmp_path).stdout
    (title,) = re.findall("<title>(.*?)</title>", shown)
    found = json.loads(title)
    assert found["page"] <= width
    assert found["plots"] and min(found["plots"]) >= page.SMALLEST


def test_browser_would_have_told(tmp_path: Path) -> None:
    """The same look at a page that does ask and does complain."""
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://127.0.0.1:9/x.png"><script>nothing_of_this_name()</script>', "utf-8")
    _, asked, console = look(bad, tmp_path)
    assert "http://127.0.0.1:9/x.png" in asked
    assert "nothing_of_this_name" in console[0]
