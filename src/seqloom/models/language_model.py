"""Many to many: at every step the scores of the next token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqloom.layers.embedding import Embedding
from seqloom.layers.recurrent import Recurrent

__all__ = ["LanguageModel"]

RESERVED = 2
"""Ids 0 and 1 of every vocabulary: padding and unknown."""

State = tuple[Tensor, ...]


class LanguageModel(nn.Module):
    """Embedding, recurrent layers, and a linear layer over the vocabulary at every step.

    Dropout uses one mask for all time steps of a batch (Gal and Ghahramani 2016, arXiv:1512.05287), on what enters
    each layer above the first and on what leaves the last. ``weight_dropout`` drops recurrent weights, others at each
    call in training (Merity et al. 2018, arXiv:1708.02182). With ``skip_connections`` the linear layer sees the outputs
    of all layers beside each other (Graves 2013, arXiv:1308.0850, section 3).
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        cell: str,
        embedding: int,
        hidden: int,
        layers: int,
        dropout: float,
        skip_connections: bool,
        nonlinearity: str,
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.skip_connections = skip_connections
        self.embedding = Embedding(vocabulary, embedding, reserved=RESERVED)
        width = self.embedding.features
        given: Any = {"batch_first": True, "nonlinearity": nonlinearity, "weight_dropout": weight_dropout}
        self.layers = nn.ModuleList(
            Recurrent(cell, hidden if above else width, hidden, **given) for above in range(layers)
        )
        self.output = nn.Linear(hidden * layers if skip_connections else hidden, vocabulary)

    def forward(self, inputs: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Scores ``[B, T, V]`` of the token after each of ``inputs [B, T]``, and the state behind the last step.

        ``state`` is what an earlier call returned, or empty for a state of zeros: the tensors of all layers in one
        flat tuple, ``[1, B, H]`` each.
        """
        hidden = self.embedding(inputs)  # [B, T, E]
        each = len(state) // len(self.layers)
        outputs, states = [], []
        for number, layer in enumerate(self.layers):
            before = _for_layer(state[number * each : (number + 1) * each])
            hidden, after = layer(hidden, before)  # [B, T, H]
            states += list(after) if isinstance(after, tuple) else [after]
            hidden = self._drop(hidden)
            outputs.append(hidden)
        seen = torch.cat(outputs, dim=2) if self.skip_connections else hidden
        return self.output(seen), tuple(states)

    def _drop(self, hidden: Tensor) -> Tensor:
        if not self.training or self.dropout == 0:
            return hidden
        keep = 1 - self.dropout
        mask = torch.empty(hidden.shape[0], 1, hidden.shape[2], device=hidden.device).bernoulli_(keep) / keep
        return hidden * mask.to(hidden.dtype)


def _for_layer(state: State) -> Tensor | State | None:
    if not state:
        return None
    return state[0] if len(state) == 1 else state
