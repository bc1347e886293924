"""Seconds to read, tokenize and encode a table of texts: what a user waits before training begins.

python -m bench.reading FILE
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from seqloom.data.inspect import inspect
from seqloom.data.read import read
from seqloom.tasks.classify import Classify, ClassifySettings


def main(file: Path) -> None:
    start = perf_counter()
    records = read(file)
    after_read = perf_counter()
    seen = inspect(records)
    after_inspect = perf_counter()
    task = Classify(ClassifySettings.parse({"text": seen.text, "label": seen.label}))
    records = task.check(records, use="train")
    task.fit(records)
    after_fit = perf_counter()
    examples = task.encode(records)
    end = perf_counter()
    print(f"{len(records):,} rows, {examples.tokens:,} tokens, vocabulary {len(task.tokenizer):,}")
    print(f"read     {after_read - start:6.2f} s")
    print(f"inspect  {after_inspect - after_read:6.2f} s")
    print(f"fit      {after_fit - after_inspect:6.2f} s")
    print(f"encode   {end - after_fit:6.2f} s")
    print(f"in all   {end - start:6.2f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
