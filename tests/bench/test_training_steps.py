from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from bench.training_steps import Side, TorchLayer, _with_torch_layers
from seqloom.models.encoder import Classifier
from seqloom.models.language_model import LanguageModel


def classifier():
    sizes = {"embedding": 4, "hidden": 5, "layers": 1, "dropout": 0.0, "embedding_dropout": 0.0}
    return Classifier(9, 3, cell="gru", bidirectional=False, pooling="last", nonlinearity="tanh", **sizes)


def language_model():
    sizes = {"embedding": 4, "hidden": 5, "layers": 2, "dropout": 0.0}
    return LanguageModel(9, cell="lstm", skip_connections=True, nonlinearity="tanh", **sizes)


@pytest.mark.parametrize("build", [classifier, language_model])
def test_torch_layers_in_the_place_of_ours_give_the_same(build):
    torch.manual_seed(2)
    ours = build()
    theirs = _with_torch_layers(deepcopy(ours))
    assert any(isinstance(module, TorchLayer) for module in theirs.modules())
    tokens = torch.randint(2, 9, (4, 7))
    for model in (ours, theirs):
        if build is classifier:
            scores = model(tokens, torch.tensor([7, 2, 5, 1]))  # padding is read by one of them, and used by neither
        else:
            scores = model(tokens, tuple(torch.full((1, 4, 5), 0.1 * each) for each in range(4)))[0]
        scores.square().sum().backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_seconds_and_curve():
    side = Side(classifier(), None, losses=[float(n) for n in range(20)], seconds=[50.0] * 5 + [0.5] * 15)
    assert side.thousand() == 500
    assert side.curve() == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5, 14.5, 16.5, 18.5]
