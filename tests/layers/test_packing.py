"""Torch's packed sequences are a second implementation of unequal lengths, and what our layers take and give too."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqloom.errors import ShapeError
from seqloom.layers.drop_in import GRU, LSTM, RNN

torch.set_num_threads(1)

PAIRS = [(RNN, nn.RNN), (GRU, nn.GRU), (LSTM, nn.LSTM)]
DOUBLE = {"dtype": torch.float64}
LENGTHS = [3, 7, 1, 6, 2]
ours_and_torchs = pytest.mark.parametrize(("ours", "torchs"), PAIRS, ids=["RNN", "GRU", "LSTM"])
shapes = pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"num_layers": 3},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
    ],
    ids=["plain", "no-bias", "layers", "both-ways", "layers-both-ways-batch-first"],
)


@ours_and_torchs
@shapes
def test_lengths_as_torchs_packed(hand, ours, torchs, options):
    """Torch's packed sequences are a second implementation of unequal lengths: the same, in every gradient."""
    mine, theirs = hand.pair(ours, torchs, **options)
    x, state = hand.inputs(mine)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), theirs.batch_first, enforce_sorted=False)
    output, last = theirs(packed, state)
    padded = pad_packed_sequence(output, theirs.batch_first, total_length=7)[0]
    hand.assert_as_torch(mine(x, state, lengths=LENGTHS), (padded, last), [x, *hand.as_tuple(state)], mine, theirs)


@ours_and_torchs
@shapes
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_in_packed_out(hand, ours, torchs, options, enforce_sorted):
    mine, theirs = hand.pair(ours, torchs, **options)
    x, state = hand.inputs(mine)
    lengths = torch.tensor(sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS)
    packed = pack_padded_sequence(x, lengths, mine.batch_first, enforce_sorted=enforce_sorted)
    one, other = mine(packed, state), theirs(packed, state)
    assert torch.equal(one[0].batch_sizes, other[0].batch_sizes)
    if enforce_sorted:
        assert one[0].sorted_indices is None
    else:
        assert torch.equal(one[0].sorted_indices, other[0].sorted_indices)
        assert torch.equal(one[0].unsorted_indices, other[0].unsorted_indices)
    leaves = [x, *hand.as_tuple(state)]
    hand.assert_as_torch((one[0].data, one[1]), (other[0].data, other[1]), leaves, mine, theirs)


@ours_and_torchs
@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_and_single_sequences_take_all_that_padded_ones_do(hand, ours, torchs, batch_first):
    """Resets, and all states of all steps, in the order of the rows that the caller packed."""
    torch.manual_seed(0)
    layer = ours(3, 9, 2, bidirectional=True, batch_first=batch_first, **DOUBLE)
    x, state = hand.inputs(layer)
    resets = torch.rand(x.shape[:2]) < 0.3
    output, last, steps = layer(x, state, lengths=LENGTHS, resets=resets, all_states=True)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first, enforce_sorted=False)
    given, given_last, given_steps = layer(packed, state, resets=resets, all_states=True)
    assert torch.equal(pad_packed_sequence(given, batch_first)[0], output)
    for ones, others in ((given_last, last), (given_steps, steps)):
        assert all(map(torch.equal, hand.as_tuple(ones), hand.as_tuple(others)))

    row = (1,) if batch_first else (slice(None), 1)  # the longest
    alone = tuple(each[:, 1] for each in hand.as_tuple(state))
    arguments = {"hx": alone if len(alone) > 1 else alone[0], "resets": resets[row], "all_states": True}
    one, one_last, one_steps = layer(x[row], **arguments)
    torch.testing.assert_close(one, output[row])
    for of_one, of_all in zip(hand.as_tuple(one_last), hand.as_tuple(last), strict=True):
        torch.testing.assert_close(of_one, of_all[:, 1])
    for of_one, of_all in zip(hand.as_tuple(one_steps), hand.as_tuple(steps), strict=True):
        torch.testing.assert_close(of_one, of_all[(slice(None), *row)])


@ours_and_torchs
def test_packed_rows_of_one_length(hand, ours, torchs):
    """Nothing is padded then, and nothing copied."""
    mine, theirs = hand.pair(ours, torchs)
    x, state = hand.inputs(mine)
    packed = pack_padded_sequence(x, torch.tensor([7] * 5))
    one, other = mine(packed, state), theirs(packed, state)
    hand.assert_as_torch((one[0].data, one[1]), (other[0].data, other[1]), [x, *hand.as_tuple(state)], mine, theirs)


def test_second_derivatives_of_packed_sequences():
    torch.manual_seed(0)
    layer = GRU(2, 3, **DOUBLE)

    def function(x):
        return layer(pack_padded_sequence(x, torch.tensor([3, 1]), enforce_sorted=False))[0].data

    assert torch.autograd.gradgradcheck(function, torch.randn(3, 2, 2, **DOUBLE).requires_grad_())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": [7, 2]}, "lengths must not be given with a PackedSequence"),
        ({"hx": torch.zeros(1, 3, 9)}, r"hx must be \[L\*D=1, B=2, H=9\]; given \[1, 3, 9\]"),
        ({"resets": torch.zeros(2, 7, dtype=torch.bool)}, r"resets must be \[T=7, B=2\]; given \[2, 7\]"),
    ],
)
def test_wrong_arguments_of_packed_sequences(arguments, message):
    packed = pack_padded_sequence(torch.zeros(7, 2, 3), torch.tensor([2, 7]), enforce_sorted=False)
    with pytest.raises(ShapeError, match=message):
        GRU(3, 9)(packed, **arguments)


def test_packed_features():
    packed = pack_padded_sequence(torch.zeros(7, 2, 4), torch.tensor([7, 2]))
    with pytest.raises(ShapeError, match=r"input.data must be \[N, I=3\]; given \[9, 4\]"):
        GRU(3, 9)(packed)
