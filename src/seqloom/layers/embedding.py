"""Token ids become vectors: a learned one for each token, or one-hot."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.errors import SettingError, ShapeError

__all__ = ["Embedding"]


class Embedding(nn.Module):
    """Looks up the vector of each id; that of padding is zero and learns nothing.

    Args:
        vocabulary: V, the number of ids.
        embedding: E, the size of a vector; 0: one-hot vectors of size V, without weights.
        padding: the id of padding; None: there is none.
        reserved: the first so many ids stand for no token (padding, unknown): one-hot vectors have no place for them
            and are all zeros there.
        std: the spread of the vectors at the beginning.

    Attributes:
        features: the size of the vectors given: E, or V less the reserved ids where they are one-hot.

    Raises:
        SettingError: a size out of range.
    """

    weight: nn.Parameter | None

    def __init__(
        self, vocabulary: int, embedding: int, *, padding: int | None = 0, reserved: int = 0, std: float = 1.0
    ) -> None:
        super().__init__()
        if vocabulary < 1:
            raise SettingError(f"vocabulary must be at least 1; given {vocabulary}")
        if embedding < 0:
            raise SettingError(f"embedding must be at least 0 (0: one-hot); given {embedding}")
        if padding is not None and not 0 <= padding < vocabulary:
            raise SettingError(f"padding must be an id from 0 to {vocabulary - 1}; given {padding}")
        if not 0 <= reserved < vocabulary:
            raise SettingError(f"reserved must be from 0 to {vocabulary - 1}; given {reserved}")
        self.vocabulary = vocabulary
        self.embedding = embedding
        self.padding = padding
        self.reserved = reserved
        self.std = std
        self.features = embedding or vocabulary - reserved
        if embedding:
            self.weight = nn.Parameter(torch.empty(vocabulary, embedding))
            self.reset_parameters()
        else:
            self.register_parameter("weight", None)
            self.register_buffer("typed", torch.empty(0), persistent=False)  # has the type that .to() asked for

    def reset_parameters(self) -> None:
        """Draws the vectors anew from a normal distribution around zero; that of spread 1 is torch's."""
        if self.weight is None:
            return
        nn.init.normal_(self.weight, std=self.std)
        if self.padding is not None:
            with torch.no_grad():
                self.weight[self.padding].zero_()

    def forward(self, ids: Tensor) -> Tensor:
        """Looks up ids.

        Args:
            ids: integers from 0 to V - 1, any shape, usually [B, T].

        Returns:
            The vectors, with one axis more than the ids: [B, T, E].

        Raises:
            ShapeError: the ids are not integers.
        """
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise ShapeError(f"ids must be integers; given {ids.dtype}")
        if self.weight is not None:
            return functional.embedding(ids, self.weight, self.padding)
        typed = self.get_buffer("typed")
        ids = ids.long().unsqueeze(-1)
        one = torch.ones_like(ids) if self.padding is None else ids != self.padding
        one = one & (ids >= self.reserved)
        place = (ids - self.reserved).clamp(min=0)
        return typed.new_zeros(*ids.shape[:-1], self.features).scatter_(-1, place, one.to(typed.dtype))  # [B, T, I]

    def extra_repr(self) -> str:
        return f"{self.vocabulary}, {self.embedding or 'one-hot'}"
