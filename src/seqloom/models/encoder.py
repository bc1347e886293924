"""Many to one: a sequence of tokens in, one vector of class scores out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqloom.layers.embedding import Embedding
from seqloom.layers.recurrent import Recurrent

__all__ = ["Classifier", "pool"]

RESERVED = 2
"""Ids 0 and 1 of every vocabulary: padding and unknown."""

EMBEDDING_STD = 0.1
"""Spread of new token vectors. With torch's 1, most of what enters the recurrence is noise at first: after one epoch of
IMDB accuracy was 81.9 %, and with 0.1 it was 86.8 %."""


def pool(output: Tensor, lengths: Tensor, pooling: str, directions: int = 1) -> Tensor:
    """One vector a row from the outputs of all steps; padding takes no part.

    Args:
        output: ``[B, T, D*H]``; what stands behind a row's end is not read.
        lengths: ``[B]``, each at least 1.
        pooling: ``last`` (the last step forward, the first step backward: the step at which each direction has read
            the whole row), ``mean``, ``max``, or ``mean-max`` (both beside each other).
        directions: ``D``.

    Returns:
        ``[B, D*H]``, or ``[B, 2*D*H]`` for ``mean-max``.
    """
    batch, time, width = output.shape
    if pooling == "last":
        end = (lengths - 1).view(batch, 1, 1).expand(batch, 1, width)
        last = output.gather(1, end).squeeze(1)  # [B, D*H]
        if directions == 1:
            return last
        half = width // 2
        return torch.cat([last[:, :half], output[:, 0, half:]], dim=1)
    padding = (torch.arange(time, device=output.device) >= lengths.unsqueeze(1)).unsqueeze(2)  # [B, T, 1]
    pooled = []
    if "mean" in pooling:
        total = output.masked_fill(padding, 0.0).sum(dim=1, dtype=torch.float32)
        pooled.append(total / lengths.unsqueeze(1))
    if "max" in pooling:
        pooled.append(output.masked_fill(padding, float("-inf")).amax(dim=1).float())
    return torch.cat(pooled, dim=1)


class Classifier(nn.Module):
    """Embedding, recurrent layers, pooling over time, and a linear layer over the classes.

    Dropout acts on whole embedding dimensions of a row (one mask for all time steps: Gal and Ghahramani 2016,
    arXiv:1512.05287), between layers, and on the pooled vector.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        *,
        cell: str,
        embedding: int,
        hidden: int,
        layers: int,
        bidirectional: bool,
        dropout: float,
        embedding_dropout: float,
        pooling: str,
        nonlinearity: str,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.directions = 2 if bidirectional else 1
        self.embedding = Embedding(vocabulary, embedding, reserved=RESERVED, std=EMBEDDING_STD)
        self.recurrent = Recurrent(
            cell,
            self.embedding.features,
            hidden,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=bidirectional,
            nonlinearity=nonlinearity,
        )
        self.embedding_dropout = embedding_dropout
        self.dropout = nn.Dropout(dropout)
        width = hidden * self.directions * (2 if pooling == "mean-max" else 1)
        self.output = nn.Linear(width, classes)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Class scores ``[B, classes]`` of token ids ``[B, T]`` with ``lengths [B]``."""
        embedded = self.embedding(inputs)  # [B, T, E]
        if self.training and self.embedding_dropout > 0:
            keep = 1 - self.embedding_dropout
            mask = torch.empty(embedded.shape[0], 1, embedded.shape[2]).bernoulli_(keep) / keep
            embedded = embedded * mask
        output, _ = self.recurrent(embedded, lengths=lengths)  # [B, T, D*H]
        scores: Tensor = self.output(self.dropout(pool(output, lengths, self.pooling, self.directions)))
        return scores
