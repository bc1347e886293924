"""Sampling: hand-worked distributions, frequencies, seeds, and the carried state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import log, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqloom import parts
from seqloom.errors import SettingError
from seqloom.models.decode import check_sampling, generate, sample
from seqloom.models.language_model import LanguageModel

DRAWS = 20_000
FOUR = (0.1, 0.5, 0.15, 0.25)
"""Probabilities of four tokens, in no order."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def scores_of(*probabilities: float) -> Tensor:
    """Scores whose softmax is this; another constant added, as scores have no fixed level."""
    return torch.tensor([log(p) + 3.7 for p in probabilities])


def counted(scores: Tensor, seed: int = 1, draws: int = DRAWS, **how: float) -> Counter[int]:
    generator = torch.Generator().manual_seed(seed)
    return Counter(sample(scores, generator, **how) for _ in range(draws))  # type: ignore[arg-type]


def assert_frequencies(found: Counter[int], wanted: dict[int, float]) -> None:
    """Each count within 5 standard errors of its binomial distribution; what has no probability is never drawn."""
    draws = found.total()
    assert found.keys() <= wanted.keys()
    for token, p in wanted.items():
        assert abs(found[token] - draws * p) <= 5 * sqrt(draws * p * (1 - p)) + 1e-9, token


def normed(*kept: int, power: float = 1.0) -> dict[int, float]:
    total = sum(FOUR[token] ** power for token in kept)
    return {token: FOUR[token] ** power / total for token in kept}


# --- one token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ({}, normed(0, 1, 2, 3)),
        ({"temperature": 0.5}, normed(0, 1, 2, 3, power=2)),
        ({"temperature": 2.0}, normed(0, 1, 2, 3, power=0.5)),
        ({"top_k": 2}, normed(1, 3)),
        ({"top_k": 3}, normed(1, 2, 3)),
        ({"top_p": 0.7}, normed(1, 3)),  # 0.5 is less than 0.7, 0.5 + 0.25 is enough
        ({"top_p": 0.8}, normed(1, 2, 3)),
        ({"top_k": 3, "top_p": 0.8}, normed(1, 3)),  # of the three kept, 1 and 3 have 0.75 / 0.9 = 0.83
    ],
)
def test_frequencies(how: dict[str, float], wanted: dict[int, float]) -> None:
    assert_frequencies(counted(scores_of(*FOUR), **how), wanted)


@pytest.mark.parametrize("how", [{"top_k": 1}, {"top_p": 0.5}, {"top_p": 1e-6}, {"temperature": 1e-3}])
def test_what_leaves_one_token(how: dict[str, float]) -> None:
    assert counted(scores_of(*FOUR), draws=200, **how).keys() == {1}


@pytest.mark.parametrize("how", [{"top_k": 4}, {"top_k": 99}, {"top_p": 1.0}])
def test_what_leaves_all(how: dict[str, float]) -> None:
    assert counted(scores_of(*FOUR), draws=500, **how) == counted(scores_of(*FOUR), draws=500)


def test_tokens_that_tie_with_the_last_of_top_k_stay() -> None:
    tied = scores_of(0.2, 0.4, 0.2, 0.2)
    assert_frequencies(counted(tied, draws=5000, top_k=2), {0: 0.2, 1: 0.4, 2: 0.2, 3: 0.2})


def test_tokens_without_probability_are_never_drawn() -> None:
    scores = scores_of(*FOUR)
    scores[1] = float("-inf")
    wanted = {token: FOUR[token] / 0.5 for token in (0, 2, 3)}
    assert_frequencies(counted(scores, draws=5000), wanted)
    assert_frequencies(counted(scores, draws=5000, top_k=4), wanted)
    assert_frequencies(counted(scores, draws=5000, top_p=0.999), wanted)


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=9),
    st.sampled_from([1e-40, 1e-9, 0.1, 1.0, 50.0, 1e30]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 1e-9, 0.5, 1.0]),
)
def test_whatever_the_scores_some_token_is_drawn(
    scores: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    generator = torch.Generator().manual_seed(1)
    token = sample(torch.tensor(scores), generator, temperature=temperature, top_k=top_k, top_p=top_p)
    assert 0 <= token < len(scores)
    if top_k == 1 or temperature == 1e-40:
        assert scores[token] == max(scores)


def test_scores_of_bf16_are_drawn_in_fp32() -> None:
    scores = scores_of(*FOUR).bfloat16()
    wanted = scores.double().softmax(0)
    assert_frequencies(counted(scores), dict(enumerate(wanted.tolist())))


# --- a text -----------------------------------------------------------------------------------------------------------


class Fixed(torch.nn.Module):
    """Always the same four probabilities; notes what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, ...]] = []

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...] = ()) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.calls.append(tuple(inputs.shape))
        scores = scores_of(*FOUR).repeat(*inputs.shape, 1)
        return scores, (torch.zeros(1, 1, 1),)


def small(cell: str = "gru", vocabulary: int = 11) -> LanguageModel:
    torch.manual_seed(2)
    model = LanguageModel(
        vocabulary, cell=cell, embedding=6, hidden=9, layers=2, dropout=0.5, skip_connections=True, nonlinearity="tanh"
    )
    for parameter in model.parameters():
        parameter.data *= 3  # far from uniform
    return model.eval()


def test_forbidden_tokens_are_never_drawn() -> None:
    drawn = Counter(generate(Fixed(), [1], length=5000, seed=1, forbidden=(1, 2)))  # type: ignore[arg-type]
    assert_frequencies(drawn, {0: 0.1 / 0.35, 3: 0.25 / 0.35})
    assert set(generate(Fixed(), [0], length=5, seed=1, greedy=True, forbidden=(1,))) == {3}  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", parts.names("cells"))
def test_the_carried_state_gives_what_the_whole_prefix_gives(cell: str) -> None:
    model = small(cell)
    prompt = [3, 9, 2, 2, 7]
    found = list(generate(model, prompt, length=30, seed=1, greedy=True))
    text = list(prompt)
    for _ in range(30):
        with torch.no_grad():
            text.append(int(model(torch.tensor([text]))[0][0, -1].argmax()))
    assert found == text[len(prompt) :]
    assert len(set(found)) > 1


def test_drawn_tokens_too_are_those_of_the_whole_prefix() -> None:
    model, generator = small(), torch.Generator().manual_seed(5)
    found = list(generate(model, [3, 4], length=20, seed=5, temperature=0.7, top_k=5))
    text = [3, 4]
    for _ in range(20):
        with torch.no_grad():
            last = model(torch.tensor([text]))[0][0, -1]
        text.append(sample(last, generator, temperature=0.7, top_k=5))
    assert found == text[2:]


def test_each_token_costs_one_step() -> None:
    model = Fixed()
    assert len(list(generate(model, [1, 2, 3], length=40, seed=1))) == 40  # type: ignore[arg-type]
    assert model.calls[0] == (1, 3)
    assert set(model.calls[1:]) == {(1, 1)}
    assert len(model.calls) <= 41


def test_tokens_come_when_they_are_drawn() -> None:
    model = Fixed()
    drawn: Iterator[int] = generate(model, [1], length=10**9, seed=1)  # type: ignore[arg-type]
    assert len(list(islice(drawn, 7))) == 7
    assert len(model.calls) <= 8


@settings(deadline=None, max_examples=20)
@given(st.integers(-(2**70), 2**70))
def test_the_same_seed_draws_the_same(seed: int) -> None:
    one, again, other = (
        list(generate(small(), [1], length=40, seed=chosen)) for chosen in (seed, seed, (seed + 1) % 2**64)
    )
    assert one == again
    assert one != other


def test_torch_s_own_generator_and_gradients_take_no_part() -> None:
    model = small()
    state = torch.get_rng_state()
    list(generate(model, [1], length=5, seed=9))
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nothing_is_a_text_too() -> None:
    assert list(generate(small(), [1], length=0, seed=1)) == []


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "length", "told"),
    [
        (0.0, None, None, 1, "temperature is 0.0"),
        (-1.0, None, None, 1, "temperature is -1.0"),
        (float("nan"), None, None, 1, "temperature is nan"),
        (float("inf"), None, None, 1, "temperature is inf"),
        (1.0, 0, None, 1, "top_k is 0"),
        (1.0, None, 0.0, 1, "top_p is 0.0"),
        (1.0, None, 1.1, 1, "top_p is 1.1"),
        (1.0, None, float("nan"), 1, "top_p is nan"),
        (1.0, None, None, -1, "length is -1"),
    ],
)
def test_what_is_refused(temperature: float, top_k: int | None, top_p: float | None, length: int, told: str) -> None:
    with pytest.raises(SettingError) as refused:
        check_sampling(temperature, top_k, top_p, length)
    assert told in refused.value.message


def test_what_is_allowed() -> None:
    check_sampling(1e-9, 1, 1e-9, 0)
    check_sampling(1e9, 10**9, 1.0, 10**9)
