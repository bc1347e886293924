"""The mean of the weights behind a training's last steps: it is judged and kept, while the weights themselves learn on.

A step at a high learning rate leaves the weights beside a minimum, not in it; steps that lie around it have their mean
nearer to it (B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim. 30
(1992), 838-855; P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization",
arXiv:1803.05407 (2018)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from seqloom.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Average"]

OWN = "own."
"""How tensors of a checkpoint are named that are the model's own weights, where the weights it stands for are means."""


class Average:
    """A running mean of a model's parameters, over about the last ``share`` of all steps taken so far.

        mean(1) = w(1)
        mean(t) = mean(t-1) + (w(t) - mean(t-1)) / (1 + share * (t - 1))

    This is the polynomial-decay averaging of O. Shamir, T. Zhang, "Stochastic Gradient Descent for Non-smooth
    Optimization: Convergence Results and Optimal Averaging Schemes", arXiv:1212.1824 (2012), with eta = 1 / share - 1:
    step s counts about as s ** eta. It reaches back further the longer the training is, so one share suits any number
    of steps. With 1 it is the plain mean of all steps. With 0 nothing is kept: the mean is the model's own weights.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self.model = model
        self.share = share
        self.own: list[Tensor] = list(model.parameters()) if share else []
        self.means = [parameter.detach().clone() for parameter in self.own]

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Takes the weights after a step into the mean; steps are counted from 1."""
        if self.own:
            torch._foreach_lerp_(self.means, self.own, 1 / (1 + self.share * (step - 1)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it, the model's parameters are the means."""
        own = [parameter.detach().clone() for parameter in self.own]
        self._set(self.means)
        try:
            yield
        finally:
            self._set(own)

    def to_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the means: the model's own parameters, as ``own.<parameter>``."""
        return {f"{OWN}{name}": parameter.detach() for name, parameter in self._named()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Goes on from a model that holds the means, and what ``to_tensors`` gave.

        Raises:
            RunError: a parameter is missing.
        """
        names = [f"{OWN}{name}" for name, _ in self._named()]
        for name in names:
            if name not in tensors:
                message = f"the checkpoint does not fit the settings: {name} is missing"
                raise RunError(message, help="train anew: the settings or the version have changed")
        own = [tensors[name] for name in names]
        self.means = [parameter.detach().clone() for parameter in self.own]
        self._set(own)

    def _named(self) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(self.model.named_parameters() if self.own else ())

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.own, values, strict=True):
            parameter.copy_(value)
