"""The recurrent layers beside torch.nn and others, on this machine; writes its tables into bench/RESULTS.md.

There each instruction set has tables of its own.

    python -m bench.kernels [--only PATTERN] [--passes 2] [--quick] [--no-write] [--busy] [--json FILE]

All candidates of a case take turns in this process, but those with spinning threads of their own come by themselves
behind the others; medians of at least nine rounds count. Before each training call of a layer, ours or torch's, its
weights count as changed, as behind a step of an optimizer. What each candidate answers is held to torch's answer first.
onnxruntime, and Keras on JAX, are measured where they can be imported, for instance from a folder of their own:
PYTHONPATH=FOLDER python -m bench.kernels

On a busy machine torch's layers, and ours, may take a hundred times as long: nothing is written then.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bench.kernels import further, keras_jax, memory, onnx_runtime, scans
from bench.kernels.figures import Pass, figures
from bench.kernels.peak import matrix_product
from bench.kernels.rows import Effort, Job, Row
from bench.kernels.tables import section
from bench.results import BUSY, RESULTS, Load, machine, write_section
from seqloom.files import write_json
from seqloom.kernels import isa


def main() -> None:
    """Measures, prints the section, and writes it."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    others = _installed()
    effort = Effort(threads=arguments.threads)
    if arguments.quick:
        effort = effort._replace(rounds=3, seconds=0.0)
    jobs = [*scans.jobs(arguments.quick), *further.jobs(arguments.quick), *memory.jobs(arguments.quick)]
    chosen = [job for job in jobs if re.search(arguments.only, job.name)]
    if not chosen:
        sys.exit(f"no case is called {arguments.only!r}; cases are called, for instance:\n" + _some(jobs))
    _say(f"{machine()}\n{len(chosen)} cases; {others or 'neither onnxruntime nor Keras on JAX is installed'}")
    passes, load = [], Load()
    for number in range(1, arguments.passes + 1):
        _say(f"pass {number} of {arguments.passes}")
        passes.append(_measure(chosen, effort))
    text = section(isa(), passes, f"{_head(arguments, others)} {load.told()}")
    print(text)
    if arguments.json:
        plain = [_plain(each) for each in passes]
        write_json(arguments.json, {"machine": machine(), "others": others, "passes": plain})
    whole = len(chosen) == len(jobs) and not arguments.quick
    if whole and not arguments.no_write and (arguments.busy or load.share() <= BUSY):
        write_section(f"bench.kernels {isa()}", text)
        _say(f"written into {RESULTS}")
    else:
        _say(f"not written into {RESULTS}. {load.told()}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="PATTERN", default="", help="cases whose name has this regular expression")
    parser.add_argument("--passes", type=int, default=1, help="how often to measure all; the worse one is quoted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small shapes and three rounds: to see that it works")
    parser.add_argument("--no-write", action="store_true", help="leave bench/RESULTS.md; so do --only and --quick")
    parser.add_argument("--busy", action="store_true", help="write even where other processes kept the cores busy")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything measured there too")
    arguments = parser.parse_args()
    if arguments.passes < 1 or arguments.threads < 1:
        parser.error("--passes and --threads must be at least 1")
    return arguments


def _measure(jobs: list[Job], effort: Effort) -> Pass:
    """One pass; torch's matrix product is measured all along, for the machine may be slow for a while."""
    rows, product = [], 0.0
    for number, job in enumerate(jobs, 1):
        if job.kind == "scan" and job.what == "training":
            product = max(product, matrix_product())
        rows.append(job.run(effort))
        _say(f"{number:3}/{len(jobs)} {job.name:<58}{_progress(rows[-1])}")
    return Pass(rows, product or matrix_product())


def _progress(row: Row) -> str:
    if row.kind == "memory":
        return f"{1 / row.ratio('fp32'):.2f} of torch's" if row.values else "not told by this system"
    name = "fp32 step" if row.kind == "step" else "fp32"
    shown = (
        f"torch {1e3 * row.values['torch']:10.3f} ms   ours {1e3 * row.values[name]:10.3f} ms {row.ratio(name):6.2f}"
    )
    return f"{shown}   bf16 {row.ratio('bf16'):6.2f}" if "bf16" in row.values else shown


def _installed() -> str:
    found = []
    if onnx_runtime.available():
        found.append(f"onnxruntime {version('onnxruntime')}")
    if keras_jax.available():
        found.append(f"Keras {version('keras')} on JAX {version('jax')}, compiled, on all cores")
    return ", ".join(found)


def _head(arguments: argparse.Namespace, others: str) -> str:
    command = "python -m bench.kernels" + (f" --passes {arguments.passes}" if arguments.passes > 1 else "")
    parts = [f"`{command}`, {date.today()}: {machine()}"]
    if others:
        parts.append(f"beside {others}")
    alone = ", and the others behind them, each by itself, for their threads spin on" if others else ""
    quoted = " Of the passes the one that flatters less is quoted, case by case." if arguments.passes > 1 else ""
    return (
        f"{'; '.join(parts)}. torch and ours take turns in one process{alone}; medians of at least nine rounds, but of "
        "three where those are slow that no figure is held against. Ratios are to torch.nn in fp32. Training is the "
        "forward scan and the gradients of input, initial states and all weights; the weights count as changed before "
        f"each call, as behind a step of an optimizer.{quoted}"
    )


def _plain(measured: Pass) -> dict[str, Any]:
    rows = [{**vars(row), "shape": list(row.shape), "values": dict(row.values)} for row in measured.rows]
    found = [figure._asdict() for figure in figures(measured)]
    return {"product": measured.product, "peak": measured.peak, "figures": found, "rows": rows}


def _some(jobs: list[Job]) -> str:
    return "\n".join(f"  {job.name}" for job in jobs[:: max(1, len(jobs) // 8)])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
