"""AdamW through a checkpoint: the steps after it are those of a training that never stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from seqloom.errors import RunError
from seqloom.run import Run
from seqloom.training import checkpoint
from seqloom.training.checkpoint import TrainingState


class Small(nn.Module):
    """A GRU with dropout, tied weights, a frozen weight, and one that gets its first gradient at the fifth step."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.rnn = nn.GRU(6, 6, num_layers=2, dropout=0.3)
        self.output = nn.Linear(6, 11)
        self.output.weight = self.embedding.weight
        self.frozen = nn.Parameter(torch.randn(3), requires_grad=False)
        self.late = nn.Parameter(torch.randn(6))

    def forward(self, tokens: Tensor, step: int) -> Tensor:
        hidden, _ = self.rnn(self.embedding(tokens))
        scores: Tensor = self.output(hidden * self.late if step >= 4 else hidden)
        return scores


def new(seed: int) -> tuple[Small, torch.optim.AdamW]:
    torch.manual_seed(seed)
    model = Small()
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return model, torch.optim.AdamW(groups, lr=0.02, fused=True)


def train(model: Small, optimizer: torch.optim.AdamW, first: int, last: int) -> None:
    for step in range(first, last):
        tokens = (torch.arange(21) * (step + 3) % 11).reshape(7, 3)
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(tokens[:-1], step).flatten(0, 1), tokens[1:].flatten()).backward()
        optimizer.step()


def digest(model: Small, optimizer: torch.optim.AdamW) -> str:
    """One number over all weights and all that the optimizer remembers."""
    tensors = model.state_dict() | checkpoint.optimizer_tensors(model, optimizer)
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for _, tensor in sorted(tensors.items()))).hexdigest()


@pytest.mark.parametrize("cut", [0, 1, 3, 5, 7])
def test_seven_steps_are_seven_steps_also_with_a_stop_between(tmp_path: Path, cut: int) -> None:
    torch.set_num_threads(1)
    model, optimizer = new(1)
    train(model, optimizer, 0, 7)
    whole = digest(model, optimizer)

    run = Run.create(tmp_path / "run")
    model, optimizer = new(1)
    train(model, optimizer, 0, cut)
    memory = checkpoint.optimizer_tensors(model, optimizer)
    random = {"generator": torch.get_rng_state()}
    checkpoint.save(run, TrainingState(cut, 0, cut, dict(model.state_dict()), memory, random, {}, True))

    model, optimizer = new(99)  # another start: all must come from the checkpoint
    loaded, _ = checkpoint.load_newest(run)
    assert loaded is not None
    model.load_state_dict(loaded.weights)
    checkpoint.restore_optimizer(model, optimizer, loaded.optimizer)
    torch.set_rng_state(loaded.tensors["generator"])
    train(model, optimizer, cut, 7)
    assert digest(model, optimizer) == whole


def test_optimizer_tensors_have_the_names_of_the_parameters() -> None:
    model, optimizer = new(1)
    train(model, optimizer, 0, 2)
    tensors = checkpoint.optimizer_tensors(model, optimizer)
    assert "exp_avg.frozen" not in tensors
    assert "exp_avg.output.weight" not in tensors  # tied: it is embedding.weight
    assert tensors["step.rnn.weight_hh_l1"] == 2
    assert tensors["step.late"] == 0
    own = optimizer.state[model.rnn.weight_hh_l1]
    assert torch.equal(tensors["exp_avg.rnn.weight_hh_l1"], own["exp_avg"])
    assert torch.equal(tensors["exp_avg_sq.rnn.weight_hh_l1"], own["exp_avg_sq"])


def test_an_optimizer_that_does_not_fit_is_refused_and_left_as_it_was() -> None:
    model, optimizer = new(1)
    tensors = checkpoint.optimizer_tensors(model, optimizer)
    missing = {name: tensor for name, tensor in tensors.items() if name != "exp_avg_sq.late"}
    with pytest.raises(RunError, match=r"exp_avg_sq\.late is missing"):
        checkpoint.restore_optimizer(model, optimizer, missing)
    with pytest.raises(RunError, match=r"exp_avg\.late has the shape \[5\], not \[6\]"):
        checkpoint.restore_optimizer(model, optimizer, tensors | {"exp_avg.late": torch.zeros(5)})
    assert not optimizer.state
