import numpy as np
import pytest

from ganvas.core.errors import UserError
from ganvas.data import DataSettings, ImageSet, load, load_unseen
from ganvas.data.clusters import clusters


def kinds(count: int, channels: int = 1, side: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of four kinds, of which kind k is twice as frequent as kind k + 1, and the kind of each."""
    random = np.random.default_rng(0)
    centres = random.integers(0, 256, (4, channels, side, side))
    kind = np.repeat(np.arange(4), count * 2 ** np.arange(3, -1, -1))
    random.shuffle(kind)
    noisy = centres[kind] + random.normal(0, 10, (len(kind), channels, side, side))
    return noisy.clip(0, 255).astype(np.uint8), kind


@pytest.mark.parametrize(("channels", "side"), [(1, 20), (3, 8)])
def test_kinds_of_images_are_found_and_numbered_by_size(channels: int, side: int) -> None:
    images, kind = kinds(20, channels, side)
    found = clusters(images, 4)
    assert found.dtype == np.int64
    assert (found == kind).all()
    assert (clusters(images, 4) == found).all()


def test_as_many_clusters_as_images() -> None:
    images, _ = kinds(1)
    assert sorted(clusters(images, len(images))) == list(range(len(images)))
    with pytest.raises(UserError, match=r"15 images cannot form 16 clusters: lower data\.clusters"):
        clusters(images, 16)


def test_equal_images_leave_clusters_empty() -> None:
    assert (clusters(np.zeros((9, 1, 4, 4), np.uint8), 3) == 0).all()


def test_a_clustered_set_is_the_same_set_with_other_classes() -> None:
    images, kind = kinds(10)
    named = ImageSet("kinds", images, kind, ("a", "b", "c", "d"))
    clustered = named.clustered(3)
    assert clustered.classes == ("cluster 1", "cluster 2", "cluster 3")
    assert clustered.spec.num_classes == 3
    assert clustered.fingerprint == named.fingerprint  # so that scores can be compared


def test_unseen_images_have_no_clusters() -> None:
    settings = DataSettings(name="strokes", clusters=5)
    train = load(settings)
    assert len(set(train.labels.tolist())) == 5
    test = load_unseen(settings, train)
    assert test is not None
    assert (test.labels, test.classes, len(test)) == (None, (), 10_000)
