"""The stream of batches, for any set, batch size and seed."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.errors import UserError
from ganvas.data import Batches, ImageSet
from ganvas.data.imageset import random_crops

counts = st.integers(1, 40)
batch_sizes = st.integers(1, 60)
seeds = st.integers(0, 2**63 - 1)


def numbered(count: int) -> ImageSet:
    """Picture i is filled with 6 i and labelled i."""
    images = np.broadcast_to(6 * np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 2, 2))
    return ImageSet("numbered", images.copy(), np.arange(count), tuple(map(str, range(count))))


def stream(data: ImageSet, batch_size: int, seed: int, length: int) -> np.ndarray:
    """The first `length` positions that the batches draw."""
    batches = Batches(data, batch_size, seed)
    return np.concatenate([batches.draw()[0] for _ in range(-(-length // batch_size))])[:length]


@settings(deadline=None)
@given(counts, batch_sizes, seeds)
def test_every_epoch_holds_every_picture_once(count, batch_size, seed):
    drawn = stream(numbered(count), batch_size, seed, 3 * count).reshape(3, count)
    assert (np.sort(drawn, axis=1) == np.arange(count)).all()


@settings(deadline=None)
@given(counts, batch_sizes, seeds, st.integers(0, 200))
def test_resuming_anywhere_gives_the_same_stream(count, batch_size, seed, start):
    data = numbered(count)
    resumed = Batches(data, batch_size, seed)
    resumed.nimg = start
    whole = stream(data, count, seed, start + 2 * batch_size)
    assert np.concatenate([resumed.draw()[0], resumed.draw()[0]]).tolist() == whole[start:].tolist()
    assert resumed.nimg == start + 2 * batch_size and resumed.epoch == resumed.nimg / count


@settings(deadline=None)
@given(counts, batch_sizes, seeds)
def test_labels_follow_pictures_and_values_fill_the_range(count, batch_size, seed):
    batches = Batches(numbered(count), batch_size, seed)
    images, labels = batches.next()
    assert images.shape == (batch_size, 3, 2, 2) and images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels is not None and labels.dtype == torch.int64
    expected = labels.float() * 6 / 127.5 - 1
    assert torch.allclose(images, expected[:, None, None, None].expand_as(images), atol=1e-6)
    assert images.min() >= -1 and images.max() <= 1


def test_black_and_white_are_the_ends_of_the_range():
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    batch = Batches(ImageSet("ends", images), 2, seed=0).next()
    assert sorted(batch.images.flatten().tolist()) == [-1, 1] and batch.labels is None


def test_seeds_and_epochs_differ():
    data = numbered(40)
    first, second, other = (stream(data, 40, seed, 80) for seed in (0, 0, 1))
    assert (first == second).all() and (first != other).any() and (first[:40] != first[40:]).any()


def test_memory_mapped_sets_stream_alike(tmp_path):
    data = numbered(20)
    np.save(tmp_path / "images.npy", data.images)
    mapped = ImageSet("numbered", np.load(tmp_path / "images.npy", mmap_mode="r+"), data.labels, data.classes)
    assert mapped.fingerprint == data.fingerprint
    streams = (Batches(one, 7, seed=3) for one in (data, mapped))
    for a, b in islice(zip(*(iter(s.next, None) for s in streams), strict=True), 5):
        assert torch.equal(a.images, b.images)


def test_an_empty_set_is_refused():
    with pytest.raises(UserError, match="has no images"):
        ImageSet("empty", np.empty((0, 1, 4, 4), np.uint8))


def test_flips_mirror_half_of_the_pictures_and_others_each_epoch() -> None:
    images = np.zeros((400, 1, 1, 2), np.uint8)
    images[:, :, :, 1] = 255  # mirrored ones are brighter on the left
    batches = Batches(ImageSet("halves", images), 400, seed=3, flips=True)
    plain = Batches(ImageSet("halves", images), 400, seed=3)
    epochs = []
    for _ in range(2):
        order, mirrored, _ = batches.draw()
        assert (plain.draw().positions == order).all()
        assert 0.4 < mirrored.mean() < 0.6
        epochs.append(mirrored[np.argsort(order)])
    assert 0.4 < (epochs[0] == epochs[1]).mean() < 0.6
    batches.nimg = 0
    shown = batches.next().images[:, 0, 0, 0] > 0
    assert (shown.numpy()[np.argsort(Batches(batches.data, 400, 3).draw()[0])] == epochs[0]).all()


def test_without_shuffling_every_epoch_is_in_the_order_of_the_set() -> None:
    batches = Batches(numbered(5), 4, seed=3, shuffle=False)
    batches.reshuffles = 1
    assert np.concatenate([batches.draw().positions for _ in range(3)]).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_random_crops_are_crops_of_their_image_and_others_each_epoch() -> None:
    """Pixels count from 0 to 24, so that the first pixel of a crop tells where it begins."""
    whole = np.arange(25, dtype=np.uint8).reshape(1, 1, 5, 5).repeat(300, 0)
    data = ImageSet("crops", random_crops(whole, (3, 3)), np.arange(300), ("one",) * 300, whole=whole)
    batches, epochs = Batches(data, 300, seed=3), []
    for _ in range(2):
        images, labels = batches.next()
        assert labels is not None and images.is_contiguous(memory_format=torch.channels_last)
        pixels = ((images + 1) * 127.5).round().int()[labels.argsort(), 0]
        assert (pixels - pixels[:, :1, :1] == torch.tensor([[0, 1, 2], [5, 6, 7], [10, 11, 12]])).all()
        epochs.append(pixels[:, 0, 0])
    assert all(set(first.tolist()) == {0, 1, 2, 5, 6, 7, 10, 11, 12} for first in epochs)
    assert (epochs[0] != epochs[1]).float().mean() > 0.8
    assert set(data.images[:, 0, 0, 0].tolist()) == {0, 1, 2, 5, 6, 7, 10, 11, 12}


def test_random_crops_resume_anywhere() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (9, 1, 6, 6), np.uint8)
    data = ImageSet("crops", random_crops(whole, (4, 4)), whole=whole)
    stream, resumed = Batches(data, 4, seed=1), Batches(data, 4, seed=1)
    images = [stream.next().images for _ in range(5)]
    resumed.nimg = 12
    assert torch.equal(resumed.next().images, images[3]) and torch.equal(resumed.next().images, images[4])


def test_a_crop_larger_than_the_images_is_refused() -> None:
    images = np.zeros((2, 1, 5, 6), np.uint8)
    for sides in ((6, 6), (6, 5), (5, 7)):
        with pytest.raises(UserError, match=r"larger than the images of 6x5: lower data\.random_crop"):
            random_crops(images, sides)
    assert random_crops(images, (5, 6)).shape == images.shape


def test_random_crops_of_any_shape() -> None:
    """Pixels count from 0 to 34, row by row: a crop of 2 rows and 4 columns begins in rows 0 to 3, columns 0 to 3."""
    whole = np.arange(35, dtype=np.uint8).reshape(1, 1, 5, 7).repeat(300, 0)
    data = ImageSet("crops", random_crops(whole, (2, 4)), whole=whole)
    drawn = ((Batches(data, 300, seed=3).next().images + 1) * 127.5).round().int()[:, 0]
    for crops in (drawn, torch.from_numpy(data.images[:, 0].astype(np.int32))):
        assert (crops - crops[:, :1, :1] == torch.tensor([[0, 1, 2, 3], [7, 8, 9, 10]])).all()
        assert set(crops[:, 0, 0].tolist()) == {7 * row + column for row in range(4) for column in range(4)}
