"""The mean of the weights: values worked by hand, what it leaves alone, and the way through a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqloom.errors import RunError
from seqloom.training.average import Average


class Small(nn.Module):
    """Tied weights, a frozen one, and a buffer that is no weight."""

    counted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.output = nn.Linear(3, 7)
        self.output.weight = self.embedding.weight
        self.frozen = nn.Parameter(torch.randn(2), requires_grad=False)
        self.register_buffer("counted", torch.zeros(1))


def learn(model: nn.Module, average: Average, first: int, last: int) -> None:
    """Steps from ``first`` to ``last``, each to other weights."""
    generator = torch.Generator().manual_seed(first)
    for step in range(first, last + 1):
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn(parameter.shape, generator=generator) / step
        average.add(step)


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def averaged(average: Average) -> dict[str, Tensor]:
    with average.in_place():
        return copied(average.model)


@pytest.mark.parametrize(
    ("share", "wanted"),
    [
        (0.0, [6.0, 3.0, 9.0, 1.0]),
        (0.25, [6.0, 6 - 3 * 4 / 5, 3.6 + 5.4 * 2 / 3, 7.2 - 6.2 * 4 / 7]),
        (0.5, [6.0, 6 - 3 * 2 / 3, 4 + 5 / 2, 6.5 - 5.5 * 2 / 5]),
        (1.0, [6.0, 4.5, 6.0, 4.75]),
    ],
)
def test_means_worked_by_hand(share: float, wanted: list[float]) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, share)
    found = []
    for step, weight in enumerate((6.0, 3.0, 9.0, 1.0), start=1):
        model.weight.data.fill_(weight)
        average.add(step)
        found.append(float(averaged(average)["weight"]))
        assert float(model.weight.detach()) == weight
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("steps", [10, 100, 1000])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_it_reaches_back_over_its_share_of_any_number_of_steps(steps: int, share: float) -> None:
    """Of weights that are the number of their step, the mean of polynomial decay is worked out as a sum."""
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, share)
    eta, mean = 1 / share - 1, 0.0
    for step in range(1, steps + 1):
        model.weight.data.fill_(step)
        average.add(step)
        new = (eta + 1) / (step + eta)  # as Shamir and Zhang write it
        mean = (1 - new) * mean + new * step
    found = float(averaged(average)["weight"])
    assert found == pytest.approx(mean, rel=1e-4)
    if steps == 1000:
        assert (steps - found) / steps == pytest.approx(share / (1 + share), rel=0.02)


def test_what_is_no_weight_and_what_does_not_learn_stay_as_they_are() -> None:
    torch.manual_seed(1)
    model = Small()
    average = Average(model, 0.4)
    learn(model, average, 1, 5)
    model.counted += 3
    found, own = averaged(average), copied(model)
    assert torch.equal(found["frozen"], own["frozen"])
    assert torch.equal(found["counted"], torch.tensor([3.0]))
    assert torch.equal(found["output.weight"], found["embedding.weight"])
    assert not torch.equal(found["output.weight"], own["output.weight"])
    assert not torch.equal(found["output.bias"], own["output.bias"])


def test_the_own_weights_come_back_also_after_an_error() -> None:
    torch.manual_seed(2)
    model = Small()
    average = Average(model, 0.4)
    learn(model, average, 1, 3)
    before, means = copied(model), averaged(average)
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert torch.equal(model.output.bias, means["output.bias"])
        _ = 1 / 0
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_restored_mean_goes_on_to_the_same_bits(share: float) -> None:
    torch.manual_seed(3)
    model = Small()
    average = Average(model, share)
    learn(model, average, 1, 6)
    means, tensors = averaged(average), {name: value.clone() for name, value in average.to_tensors().items()}
    assert set(tensors) == ({"own.embedding.weight", "own.output.bias", "own.frozen"} if share else set())
    learn(model, average, 7, 9)

    torch.manual_seed(99)
    other = Small()
    other.load_state_dict(means)
    again = Average(other, share)
    again.restore(tensors)
    learn(other, again, 7, 9)
    assert all(torch.equal(copied(other)[name], value) for name, value in copied(model).items())
    assert all(torch.equal(averaged(again)[name], value) for name, value in averaged(average).items())


def test_a_checkpoint_without_the_own_weights_is_refused() -> None:
    average = Average(nn.Linear(2, 1), 0.2)
    with pytest.raises(RunError, match=r"own\.bias is missing"):
        average.restore({"own.weight": torch.zeros(1, 2)})
