"""DLinear by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from seqloom.models.forecasters.base import Shape
from seqloom.models.forecasters.linear import Linear, moving_average


def test_a_moving_average_by_hand():
    values = torch.tensor([[3.0, 6.0, 0.0, 9.0], [1.0, 1.0, 1.0, 4.0]])
    wanted = torch.tensor([[4.0, 3.0, 5.0, 6.0], [1.0, 1.0, 2.0, 3.0]])
    torch.testing.assert_close(moving_average(values, 3), wanted)


def test_the_ends_stand_for_what_is_not_there():
    """Width 25 over two values a and b: the place of a sees 13 times a and 12 times b."""
    torch.testing.assert_close(moving_average(torch.tensor([[0.0, 25.0]])), torch.tensor([[12.0, 13.0]]))


def linear(channels: str, normalization: str = "none") -> Linear:
    settings = SimpleNamespace(channels=channels, normalization=normalization)
    return Linear.from_settings(settings, Shape(look_back=2, horizon=1, channels=2)).double()


@pytest.mark.parametrize(("normalization", "wanted"), [("none", (46.5, 11.0)), ("last", (-3.5, 4.0))])
def test_by_hand(normalization, wanted):
    """One channel is (0, 25): its trend is (12, 13), the rest (-12, 12). The other is (3.5, 3.5), all of it trend.

    none: 2 * 12 + 13 + 0.5 - 0.25 * 12 + 12 = 46.5; 2 * 3.5 + 3.5 + 0.5 = 11.
    last: (-25, 0) with the trend (-13, -12), the rest (-12, 12): -26 - 12 + 0.5 - 3 + 12 = -28.5, plus 25; 0.5 + 3.5.
    """
    model = linear("independent", normalization)
    with torch.no_grad():
        model.trend.weight.copy_(torch.tensor([[2.0, 1.0]]))
        model.trend.bias.fill_(0.5)
        model.rest.weight.copy_(torch.tensor([[0.25, 1.0]]))
        model.rest.bias.zero_()
    values = torch.tensor([[[0.0, 3.5], [25.0, 3.5]]], dtype=torch.float64)
    torch.testing.assert_close(model(values).flatten(), torch.tensor(wanted, dtype=torch.float64))


def test_together_is_a_map_of_all_channels():
    model = linear("together")
    values = torch.tensor([[[0.0, 3.0], [25.0, 4.0]]], dtype=torch.float64)
    trend = moving_average(values.transpose(1, 2).contiguous())
    rest = values.transpose(1, 2) - trend
    wanted = model.trend(trend.reshape(1, 4)) + model.rest(rest.reshape(1, 4))
    torch.testing.assert_close(model(values).flatten(), wanted.flatten())
