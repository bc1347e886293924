"""The network's answer and that of a bag of n-grams as one: what of it a run keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from seqloom import files
from seqloom.models.pool import Pool

if TYPE_CHECKING:
    from seqloom.models.bag import BagOfNgrams

__all__ = ["Mixture"]

Array = NDArray[np.float64]

BAG_FILE, POOL_FILE = "ngrams.safetensors", "mixture.json"


class Mixture:
    """A bag of n-grams, and in what shares it and the network answer.

    Attributes:
        bag: None where nothing was held out to hold the network against, or where the network shall answer alone.
        pool: the network's share and the bag's; None until they are learnt, and the network answers alone.
    """

    def __init__(self, bag: BagOfNgrams | None = None, pool: Pool | None = None) -> None:
        self.bag = bag
        self.pool = pool

    def fit(self, network: Array, texts: Sequence[str], targets: NDArray[np.int64]) -> None:
        """Learns the shares from the network's probabilities ``[N, K]`` of texts that neither has learnt from."""
        if self.bag is not None:
            self.pool = Pool.fit(network, self.bag.probabilities(texts), targets)

    def probabilities(self, network: Array, texts: Sequence[str]) -> Array:
        """The probabilities of the two together, ``[N, K]``, from the network's."""
        if self.bag is None or self.pool is None or not texts:
            return network
        return self.pool.probabilities(network, self.bag.probabilities(texts))

    def save_bag(self, folder: Path) -> None:
        """Writes ``ngrams.safetensors``, of at most 50 MB."""
        from safetensors.numpy import save

        if self.bag is not None:
            files.write_bytes(folder / BAG_FILE, save(self.bag.to_tensors()))

    def save_pool(self, folder: Path) -> None:
        """Writes ``mixture.json``."""
        if self.pool is not None:
            files.write_json(folder / POOL_FILE, {"network": self.pool.first, "ngrams": self.pool.second})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What was saved; an empty mixture if nothing was.

        Raises:
            ValueError: a file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        from seqloom.models.bag import BagOfNgrams

        if not (folder / BAG_FILE).exists():
            return cls()
        try:
            bag = BagOfNgrams.from_tensors(load_file(folder / BAG_FILE))
        except SafetensorError as error:
            raise ValueError(f"{BAG_FILE}: {error}") from None
        if not (folder / POOL_FILE).exists():
            return cls(bag)
        shares = files.read_json(folder / POOL_FILE)
        return cls(bag, Pool(float(shares["network"]), float(shares["ngrams"])))
