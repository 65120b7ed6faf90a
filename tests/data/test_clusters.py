import numpy as np
import pytest

from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.data import DataSettings, ImageSet, load, load_unseen
from ganvas.data import clusters as module
from ganvas.data.clusters import clusters


def kinds(count: int, channels: int = 1, side: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of four kinds, each twice as frequent as the next, and the kind of each."""
    random = np.random.default_rng(0)
    centres = random.integers(0, 256, (4, channels, side, side))
    kind = np.repeat(np.arange(4), count * 2 ** np.arange(3, -1, -1))
    random.shuffle(kind)
    noisy = centres[kind] + random.normal(0, 10, (len(kind), channels, side, side))
    return noisy.clip(0, 255).astype(np.uint8), kind


@pytest.mark.parametrize(("channels", "side"), [(1, 20), (3, 8)])
def test_kinds_of_images_are_found_and_numbered_as_they_appear(channels: int, side: int) -> None:
    images, kind = kinds(20, channels, side)
    found = clusters(images, 4)
    assert found.dtype == np.int64
    order = list(dict.fromkeys(kind.tolist()))
    assert (found == np.argsort(order)[kind]).all()
    assert (clusters(images, 4) == found).all()


def test_as_many_clusters_as_images() -> None:
    images, _ = kinds(1)
    assert clusters(images, len(images)).tolist() == list(range(len(images)))
    with pytest.raises(UserError, match=r"15 images cannot form 16 clusters: lower data\.clusters"):
        clusters(images, 16)


def test_equal_images_form_fewer_clusters() -> None:
    images = np.zeros((9, 1, 4, 4), np.uint8)
    assert (clusters(images, 3) == 0).all()
    images[4] = 200
    clustered = ImageSet("dots", images).clustered(3)
    assert clustered.classes == ("cluster 0", "cluster 1")
    assert clustered.labels is not None and clustered.labels.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_thumbnails_of_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = kinds(3)
    whole = clusters(images, 4)
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * images[0].size * 7)
    monkeypatch.setattr(module, "BLOCK", 11)
    assert (clusters(images, 4) == whole).all()


def test_clusters_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    images, kind = kinds(10)
    named = ImageSet("kinds", images, kind, ("a", "b", "c", "d"))
    first = named.clustered(3)
    monkeypatch.setattr(module, "clusters", lambda *_: pytest.fail("found again"))
    assert first.labels is not None
    np.testing.assert_array_equal(named.clustered(3).labels, first.labels)
    (kept,) = (cache_dir() / "clusters").glob(f"*-3-{named.fingerprint[:16]}.npy")
    kept.write_bytes(b"damaged")
    monkeypatch.setattr(module, "clusters", lambda *_: first.labels)
    np.testing.assert_array_equal(named.clustered(3).labels, first.labels)


def test_crops_have_the_clusters_of_their_whole_images() -> None:
    images, kind = kinds(10)
    crops = ImageSet("kinds", np.zeros((len(images), 1, 4, 4), np.uint8), whole=images)
    found = crops.clustered(4)
    assert len(found.classes) == 4
    assert found.labels is not None and len(set(zip(found.labels.tolist(), kind.tolist(), strict=True))) == 4


def test_a_clustered_set_is_the_same_set_with_other_classes() -> None:
    images, kind = kinds(10)
    named = ImageSet("kinds", images, kind, ("a", "b", "c", "d"))
    clustered = named.clustered(3)
    assert clustered.classes == ("cluster 0", "cluster 1", "cluster 2")
    assert clustered.spec.num_classes == 3
    assert clustered.fingerprint == named.fingerprint  # so that scores can be compared


def test_unseen_images_have_no_clusters() -> None:
    settings = DataSettings(name="strokes", clusters=5)
    train = load(settings)
    assert train.labels is not None and len(set(train.labels.tolist())) == 5
    test, named = load_unseen(settings, train), load(DataSettings(name="strokes"), "test")
    assert test is not None
    assert (test.labels, test.classes, len(test)) == (None, (), 10_000)
    assert test.fingerprint == named.fingerprint
