from __future__ import annotations

import gzip

import numpy as np
import pytest

from seqloom.data.batch import buckets, in_order, pad, padding_share
from seqloom.errors import SettingError

# Words of film reviews are about log-normal: a median of 180, and 5 % above 600.
LENGTHS = np.maximum(1, np.random.default_rng(0).lognormal(5.2, 0.75, size=10_007)).astype(np.int64)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 10_007])
@pytest.mark.parametrize("batch", [1, 64])
def test_every_index_once_and_one_smaller_batch(count, batch):
    for batches in (buckets(LENGTHS[:count], batch, seed=3, epoch=1), in_order(LENGTHS[:count], batch)):
        assert sorted(np.concatenate([[], *batches])) == list(range(count))
        sizes = sorted(len(each) for each in batches)
        assert sizes[1:] == [batch] * (len(sizes) - 1)
        assert len(batches) == -(-count // batch)


def test_padding_stays_under_15_percent_and_no_bucketing_does_not():
    assert padding_share(LENGTHS, buckets(LENGTHS, 64, seed=1, epoch=0)) < 0.15
    assert padding_share(LENGTHS, in_order(LENGTHS, 64)) < 0.05
    assert padding_share(LENGTHS, np.array_split(np.arange(len(LENGTHS)), 157)) > 0.5


def test_padding_on_real_reviews(shared_data):
    for name in ("imdb/dev.csv.gz", "nsmc/ratings_dev.txt.gz"):
        with gzip.open(shared_data / name, "rt", encoding="utf-8") as file:
            lengths = np.array([len(line) for line in file])
        assert padding_share(lengths, buckets(lengths, 64, seed=1, epoch=0)) < 0.15


def test_padding_share_by_hand():
    lengths = np.array([2, 4, 3])
    assert padding_share(lengths, [np.array([0, 1]), np.array([2])]) == pytest.approx(2 / 11)
    assert padding_share(lengths, []) == 0


def test_an_epoch_is_a_function_of_its_arguments():
    def order(**change):
        return np.concatenate(buckets(LENGTHS, 64, **({"seed": 1, "epoch": 2} | change))).tolist()

    np.random.seed(0)
    first = order()
    np.random.seed(1)
    assert order() == first
    assert order(epoch=3) != first
    assert order(seed=2) != first


def test_short_and_long_batches_are_mixed():
    longest = [LENGTHS[batch].max() for batch in buckets(LENGTHS, 64, seed=1, epoch=0)]
    ranks = np.argsort(np.argsort(longest))
    assert abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) < 0.25


def test_the_companions_change_from_epoch_to_epoch():
    def companions(epoch):
        return next(set(b.tolist()) for b in buckets(LENGTHS, 64, seed=1, epoch=epoch) if 17 in b)

    assert len(companions(0) & companions(1)) < 32


def test_padding_by_hand():
    padded, lengths = pad([np.array([5, 6], np.int32), np.array([], np.int32), np.array([7, 8, 9], np.int32)], value=4)
    np.testing.assert_array_equal(padded, [[5, 6, 4], [4, 4, 4], [7, 8, 9]])
    np.testing.assert_array_equal(lengths, [2, 0, 3])
    assert padded.dtype == lengths.dtype == np.int64
    assert pad([])[0].shape == (0, 0)
    assert pad([np.array([], np.int32)])[0].shape == (1, 0)


def test_a_batch_of_none_is_refused():
    with pytest.raises(SettingError, match="batch is 0"):
        buckets(LENGTHS, 0, seed=1, epoch=0)
    with pytest.raises(SettingError, match="batch is -1"):
        in_order(LENGTHS, -1)
