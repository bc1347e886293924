"""The classifier and its pooling, against a plain loop over rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqloom import parts
from seqloom.models.encoder import Classifier, pool

POOLINGS = ("last", "mean", "max", "mean-max")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def by_rows(output: np.ndarray, lengths: list[int], pooling: str, directions: int) -> np.ndarray:
    """The same as ``pool``, a row at a time and never looking behind a row's end."""
    rows = []
    for row, length in zip(output, lengths, strict=True):
        row = row[:length]
        if pooling == "last":
            half = row.shape[1] // directions
            rows.append(np.concatenate([row[-1, :half], row[0, half:]]))
            continue
        kinds = {"mean": [row.mean(axis=0)], "max": [row.max(axis=0)]}
        kinds["mean-max"] = kinds["mean"] + kinds["max"]
        rows.append(np.concatenate(kinds[pooling]))
    return np.stack(rows)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_that_of_each_row_and_reads_no_padding(pooling: str, directions: int) -> None:
    lengths = [3, 7, 1, 5, 7]
    random = np.random.default_rng(3)
    output = random.normal(size=(5, 7, 3 * directions)).astype(np.float32) - 2  # below zero: padding of 0 would show
    for row, length in enumerate(lengths):
        output[row, length:] = np.nan
    found = pool(torch.from_numpy(output), torch.tensor(lengths), pooling, directions)
    np.testing.assert_allclose(found, by_rows(output, lengths, pooling, directions), rtol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_no_gradient_comes_out_of_padding(pooling: str) -> None:
    output = torch.randn(3, 6, 4, requires_grad=True)
    lengths = torch.tensor([2, 6, 4])
    pool(output, lengths, pooling, 2).square().sum().backward()
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
    for row, length in enumerate(lengths.tolist()):
        assert not output.grad[row, length:].any()
        assert output.grad[row, :length].any()


def classifier(cell: str = "gru", **changed: object) -> Classifier:
    torch.manual_seed(5)
    given = {
        "embedding": 5,
        "hidden": 7,
        "layers": 2,
        "bidirectional": True,
        "dropout": 0.4,
        "embedding_dropout": 0.3,
        "pooling": "mean-max",
        "nonlinearity": "tanh",
    }
    return Classifier(11, 3, cell=cell, **given | changed)  # type: ignore[arg-type]


def rows(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(1, 11, (length,), generator=generator) for length in lengths]


def padded(arrays: list[torch.Tensor], to: int) -> torch.Tensor:
    return torch.stack([torch.nn.functional.pad(array, (0, to - len(array))) for array in arrays])


@pytest.mark.parametrize("embedding", [5, 0])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cell", parts.names("cells"))
def test_a_batch_gives_what_its_rows_give_alone(cell: str, pooling: str, bidirectional: bool, embedding: int) -> None:
    model = classifier(cell, pooling=pooling, bidirectional=bidirectional, embedding=embedding).eval()
    arrays = rows(4, 9, 1, 9, 6)
    with torch.no_grad():
        together = model(padded(arrays, 13), torch.tensor([len(array) for array in arrays]))
        alone = torch.cat([model(array[None], torch.tensor([len(array)])) for array in arrays])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    assert together.std(dim=0).min() > 1e-3  # rows differ: not all are the same constant


def test_what_stands_in_the_padding_does_not_matter() -> None:
    model = classifier().eval()
    arrays = rows(4, 9, 2)
    inputs, lengths = padded(arrays, 9), torch.tensor([4, 9, 2])
    other = inputs.clone()
    other[0, 4:], other[2, 2:] = 7, 10
    with torch.no_grad():
        torch.testing.assert_close(model(inputs, lengths), model(other, lengths), rtol=0, atol=0)


def test_dropout_acts_in_training_alone() -> None:
    inputs, lengths = padded(rows(4, 9, 2), 9), torch.tensor([4, 9, 2])
    for dropped in ({"dropout": 0.5}, {"embedding_dropout": 0.5}):
        model = classifier(**({"dropout": 0.0, "embedding_dropout": 0.0} | dropped))
        with torch.no_grad():
            assert not torch.equal(model(inputs, lengths), model(inputs, lengths)), dropped
            model.eval()
            assert torch.equal(model(inputs, lengths), model(inputs, lengths)), dropped
    model = classifier(dropout=0.0, embedding_dropout=0.0)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs, lengths), model.eval()(inputs, lengths))


def test_embedding_dropout_drops_a_dimension_of_a_row_at_all_steps_and_scales_the_others() -> None:
    seen: list[torch.Tensor] = []
    model = classifier(embedding_dropout=0.5, embedding=64, pooling="mean")
    model.recurrent.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    inputs = padded(rows(9, 9), 9)
    model(inputs, torch.tensor([9, 9]))
    embedded = model.embedding(inputs)
    factors = (seen[0] / embedded).detach()  # [B, T, E]
    assert torch.equal(factors.unique().round(decimals=4), torch.tensor([0.0, 2.0]))
    assert (factors == factors[:, :1]).all()
    assert not torch.equal(factors[0], factors[1])
    assert 0.3 < (factors == 0).float().mean() < 0.7


def test_the_weights_are_those_of_its_parts() -> None:
    model = classifier("lstm", hidden=7, layers=1, bidirectional=True, pooling="mean-max", embedding=5)
    count = 11 * 5 + 2 * (4 * 7 * (5 + 7) + 2 * 4 * 7) + (4 * 7 + 1) * 3
    assert sum(p.numel() for p in model.parameters()) == count
