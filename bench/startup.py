"""Seconds that ``seqloom --help`` and ``import seqloom`` take in a new process.

python -m bench.startup
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

RUNS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import seqloom": [sys.executable, "-c", "import seqloom"],
    "seqloom --help": [sys.executable, "-m", "seqloom", "--help"],
    "seqloom train --help": [sys.executable, "-m", "seqloom", "train", "--help"],
}


def main() -> None:
    print(f"{'':24}{'min':>8}{'median':>8}{'max':>8}   seconds, {RUNS} runs in turn")
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            start = perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(perf_counter() - start)
    for name, found in times.items():
        print(f"{name:24}{min(found):8.3f}{median(found):8.3f}{max(found):8.3f}")


if __name__ == "__main__":
    main()
