"""The loss over a whole text: every token once, and what one long pass gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seqloom import parts
from seqloom.models.language_model import LanguageModel
from seqloom.models.tail import CONTEXT, ROWS, score_tokens


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def drawn(count: int, vocabulary: int = 9) -> np.ndarray:
    return np.random.default_rng(count).integers(0, vocabulary, size=count).astype(np.int32)


def small(cell: str) -> LanguageModel:
    torch.manual_seed(3)
    return LanguageModel(
        9, cell=cell, embedding=4, hidden=5, layers=2, dropout=0.5, skip_connections=True, nonlinearity="tanh"
    ).eval()


def unbroken(model: nn.Module, tokens: np.ndarray) -> tuple[float, int]:
    """Nats and right guesses of one pass from the first token to the last."""
    inputs = torch.from_numpy(tokens.astype(np.int64))
    with torch.no_grad():
        scores, _ = model(inputs[None, :-1])
    return float(cross_entropy(scores[0], inputs[1:], reduction="sum")), int((scores[0].argmax(1) == inputs[1:]).sum())


@pytest.mark.parametrize("cell", parts.names("cells"))
@pytest.mark.parametrize("count", [2, 3, 255, 257, 258, 700, 1024])
def test_a_short_text_is_one_unbroken_pass(cell: str, count: int) -> None:
    model, tokens = small(cell), drawn(count)
    nats, right, predicted = score_tokens(model, tokens)
    wanted, wanted_right = unbroken(model, tokens)
    assert nats == pytest.approx(wanted, rel=1e-5)
    assert (right, predicted) == (wanted_right, count - 1)


@pytest.mark.parametrize("cell", parts.names("cells"))
def test_a_long_text_is_close_to_one_unbroken_pass(cell: str) -> None:
    model, tokens = small(cell), drawn(20_001)
    nats, right, predicted = score_tokens(model, tokens)
    wanted, wanted_right = unbroken(model, tokens)
    assert predicted == 20_000
    assert nats == pytest.approx(wanted, rel=1e-5)
    assert abs(right - wanted_right) <= 2


class Counts(nn.Module):
    """Reads a text of ascending numbers, and is right about every number but those it was told to be wrong about.

    Its state is the number it read last, so that a text whose pieces are not carried on is found out too.
    """

    def __init__(self, size: int, wrong: list[int]) -> None:
        super().__init__()
        self.size, self.wrong = size, wrong

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...] = ()) -> tuple[Tensor, tuple[Tensor, ...]]:
        if state:
            assert torch.equal(state[0][0, :, 0].long() + 1, inputs[:, 0]) or not inputs[:, 0].all()
        scores = torch.zeros(*inputs.shape, self.size)
        answers = (inputs + 1).clamp(max=self.size - 1)
        answers[torch.isin(answers, torch.tensor(self.wrong))] = 0
        scores.scatter_(2, answers[:, :, None], 50.0)
        return scores, (inputs[None, :, -1:].float(),)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 3000), st.data())
def test_every_token_is_scored_exactly_once(count: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, count - 1))
    model = Counts(count, [place])
    nats, right, predicted = score_tokens(model, np.arange(count, dtype=np.int32))
    assert (right, predicted) == (count - 2, count - 1)
    assert nats == pytest.approx(50.0, abs=1e-3)  # one mistake, once


@pytest.mark.parametrize("rows", [1, 2, 31, 32])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_at_the_edges_of_the_stretches(rows: int, more: int) -> None:
    count = rows * 2 * CONTEXT + more
    size = -(-(count - 1) // max(1, min(ROWS, (count - 1) // (2 * CONTEXT))))
    edges = [place for edge in range(0, count, size) for place in (edge - 1, edge, edge + 1) if 0 < place < count]
    tokens = np.arange(count, dtype=np.int32)
    # Small numbers stand for places, so that 32 rows at once need no gigabytes.
    tokens = np.where(np.isin(tokens, edges), 1, 0).astype(np.int32)
    nats, right, predicted = score_tokens(Never(), tokens)
    assert predicted == count - 1
    assert right == int((tokens[1:] == 0).sum())
    assert nats == pytest.approx(50.0 * len(edges), rel=1e-4)


class Never(nn.Module):
    """Says 0 whatever comes."""

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...] = ()) -> tuple[Tensor, tuple[Tensor, ...]]:
        scores = torch.zeros(*inputs.shape, 2)
        scores[..., 0] = 50.0
        return scores, ()


def test_no_more_rows_than_said() -> None:
    shapes: list[tuple[int, ...]] = []
    never = Never()
    never.register_forward_pre_hook(lambda module, given: shapes.append(tuple(given[0].shape)))
    score_tokens(never, np.zeros(40_000, dtype=np.int32))
    assert {rows for rows, _ in shapes} == {ROWS}
    assert max(steps for _, steps in shapes) == CONTEXT


def test_a_text_of_one_token_has_nothing_to_score() -> None:
    assert score_tokens(Never(), np.zeros(1, dtype=np.int32)) == (0.0, 0, 0)
