"""Training throughput of the segment model, ours and a straightforward one in PyTorch: windows per second.

    python -m bench.segment_model [--steps 20] [--hidden 512] [--batch 256] [--only PATTERN]

Two models with the same weights take their steps in turn on the same windows, 7 channels of random walks. A step is all
of it: forecast, loss, gradients, clipping, AdamW. Ours runs as a training runs it, with bf16 products where the
processor has them; the other in fp32, as its authors' code does, and once more with torch's own bf16 (autocast).
Writes its table into bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import ClassVar

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line sets it

import torch
from torch import Tensor, nn

from bench.results import Load, finish, machine, paragraph, table
from seqloom.models.forecasters.base import Shape
from seqloom.models.forecasters.segment import Segment
from seqloom.training.devices import autocast, has_bf16, use_threads

CHANNELS = 7
CASES = ((96, 96), (96, 192), (96, 336), (96, 720), (720, 96), (720, 720))
"""Look-back and horizon."""
ROWS = {96: 24, 720: 48}
"""Rows of a segment, for each look-back."""
WARM_UP = 3


class StraightforwardSegments(nn.Module):
    """SegRNN as one writes it down in PyTorch, with ``nn.GRU``.

    S. Lin et al., "SegRNN: Segment Recurrent Neural Network for Long-Term Time Series Forecasting", arXiv:2308.11200
    (2023), with parallel multi-step forecasting: position and channel embeddings are repeated for the batch, the state
    for the segments, and the GRU takes one step for each of the B * C * m rows.
    """

    NAMES: ClassVar[dict[str, str]] = {
        "projection.weight": "embed.weight",
        "projection.bias": "embed.bias",
        "position": "position",
        "channel": "channel",
        "output.weight": "output.weight",
        "output.bias": "output.bias",
        **{f"recurrent.{name}_l0": f"gru.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    }
    """The weights of ours by name, and what they are called here."""

    def __init__(self, look_back: int, horizon: int, channels: int, rows: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.channels, self.rows, self.hidden, self.horizon = channels, rows, hidden, horizon
        self.read, self.said = look_back // rows, horizon // rows
        self.embed = nn.Linear(rows, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.position = nn.Parameter(torch.randn(self.said, hidden - hidden // 2))
        self.channel = nn.Parameter(torch.randn(channels, hidden // 2))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, rows)

    def take(self, model: nn.Module) -> None:
        """Takes the weights of ours."""
        weights = model.state_dict()
        self.load_state_dict({theirs: weights[ours] for ours, theirs in self.NAMES.items()})

    def forward(self, values: Tensor) -> Tensor:
        """Forecasts [B, F, C] of look-backs [B, T, C]."""
        batch = values.shape[0]
        last = values[:, -1:]
        segments = (values - last).permute(0, 2, 1).reshape(-1, self.read, self.rows)  # [B*C, n, w]
        _, state = self.gru(torch.relu(self.embed(segments)))  # [1, B*C, H]
        position = self.position.unsqueeze(0).repeat(self.channels, 1, 1)  # [C, m, H/2]
        channel = self.channel.unsqueeze(1).repeat(1, self.said, 1)
        inputs = torch.cat([position, channel], dim=-1).view(-1, 1, self.hidden).repeat(batch, 1, 1)  # [B*C*m, 1, H]
        _, after = self.gru(inputs, state.repeat(1, 1, self.said).view(1, -1, self.hidden))  # [1, B*C*m, H]
        said = self.output(self.dropout(after)).view(-1, self.channels, self.horizon)
        return said.permute(0, 2, 1) + last


class Side:
    """One model in training, and the seconds of its steps."""

    def __init__(self, model: nn.Module, precision: str) -> None:
        self.model, self.precision = model, precision
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        self.seconds: list[float] = []

    def step(self, values: Tensor, look_back: int) -> None:
        """One training step on windows [B, T+F, C], timed."""
        start = perf_counter()
        with autocast(self.precision):
            said = self.model(values[:, :look_back])
            loss = (said.view(said.shape[:3]) - values[:, look_back:]).abs().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.seconds.append(perf_counter() - start)

    def per_second(self, batch: int) -> float:
        """Windows a second; the first steps, which pay for memory, do not count."""
        return batch / median(self.seconds[WARM_UP:])


def main() -> None:
    """Measures, prints the section, and writes it."""
    arguments = _arguments()
    use_threads(arguments.threads)
    load, lines = Load(), []
    for look_back, horizon in CASES:
        if arguments.only in f"{look_back}/{horizon}":
            lines.append(_line(look_back, horizon, arguments))
            print(" ".join(lines[-1]), file=sys.stderr, flush=True)
    if not lines:
        sys.exit("nothing was measured")
    finish("bench.segment_model", _section(arguments, lines, load), write=not (arguments.no_write or arguments.only))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.segment_model", description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--only", default="", help="look-back/horizon with this in it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-write", action="store_true", help="leave bench/RESULTS.md; so does --only")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("--steps must be at least 1")
    return arguments


def _sides(look_back: int, horizon: int, arguments: argparse.Namespace) -> list[Side]:
    """The straightforward model in fp32, and in bf16 where there is bf16; ours."""
    torch.manual_seed(1)
    settings = SimpleNamespace(
        cell="gru",
        nonlinearity="tanh",
        layers=1,
        hidden=arguments.hidden,
        dropout=arguments.dropout,
        segment=ROWS[look_back],
        normalization="last",
        channels="independent",
    )
    ours = Segment.from_settings(settings, Shape(look_back, horizon, CHANNELS))
    sides = []
    best = "bf16" if has_bf16() else "fp32"
    for precision in sorted({"fp32", best}, reverse=True):
        sizes = ROWS[look_back], arguments.hidden, arguments.dropout
        plain = StraightforwardSegments(look_back, horizon, CHANNELS, *sizes)
        plain.take(ours)
        sides.append(Side(plain, precision))
    return [*sides, Side(ours, best)]


def _line(look_back: int, horizon: int, arguments: argparse.Namespace) -> list[str]:
    sides = _sides(look_back, horizon, arguments)
    for _ in range(WARM_UP + arguments.steps):
        values = torch.randn(arguments.batch, look_back + horizon, CHANNELS).cumsum(dim=1) / 10
        for side in sides:
            side.step(values, look_back)
    *theirs, ours = (side.per_second(arguments.batch) for side in sides)
    rates = [f"{theirs[0]:,.0f}", f"{theirs[1]:,.0f}" if len(theirs) > 1 else "-", f"{ours:,.0f}"]
    times = [f"**{ours / theirs[0]:.1f}**", f"{ours / theirs[1]:.1f}" if len(theirs) > 1 else "-"]
    return [str(look_back), str(horizon), str(ROWS[look_back]), *rates, *times]


def _section(arguments: argparse.Namespace, lines: list[list[str]], load: Load) -> str:
    head = ["look-back", "horizon", "rows of a segment", "PyTorch, fp32", "PyTorch, bf16", "ours"]
    how = (
        f"`python -m bench.segment_model --steps {arguments.steps} --hidden {arguments.hidden} --batch "
        f"{arguments.batch}`, {date.today()}: {machine()}. Windows a second, {CHANNELS} channels each, in training: "
        f"the median of {arguments.steps} steps. PyTorch is the model as one writes it with nn.GRU, without and with "
        f"torch's autocast; ours begins with the same weights and runs as `seqloom train` runs it. {load.told()}"
    )
    return f"""## Training the segment model

{paragraph(how)}
{table([*head, "times as fast as fp32", "as bf16"], lines)}"""


if __name__ == "__main__":
    main()
