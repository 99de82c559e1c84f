import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.data import Celeba, memory

from .conftest import packed

NUMBERS = [0] * 6 + [1] * 3 + [2] * 2


@pytest.fixture
def root(tmp_path):
    """Eleven small images, all of one grey within a border of black."""
    folder = tmp_path / "root" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06}.jpg" for i in range(1, 12)]
    for i, name in enumerate(names):
        pixels = np.zeros((22, 18, 3), dtype=np.uint8)
        pixels[3:19, 1:17] = 20 * i
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name, quality=100)
    lines = [f"{name} {number}" for name, number in zip(names, NUMBERS, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    lines = [f"{name} {1 if i % 3 else -1:2} -1" for i, name in enumerate(names)]
    header = ["11", "Smiling Young "]
    (folder / "list_attr_celeba.txt").write_text("\n".join(header + lines) + "\n")
    return tmp_path / "root"


def load(root, **arguments):
    return Celeba(root=root, **{"size": 4, "crop": 12} | arguments).load()


@pytest.mark.parametrize("zipped", [True, False])
def test_splits_are_the_official_ones(root, unchanged, zipped):
    if zipped:
        packed(root / "celeba" / "img_align_celeba", prefix="img_align_celeba/")
    data = load(unchanged(root), label="Smiling")
    assert data.event_shape == (3, 4, 4)
    assert [len(split) for split in data.splits.values()] == [6, 3, 2]
    greys = [split.x.mean((1, 2, 3)) * 255 / 20 for split in data.splits.values()]
    assert torch.allclose(torch.cat(greys), torch.arange(11.0), atol=0.1)
    assert data.train.x.std((1, 2, 3)).max() < 0.01  # the border is cut off
    assert data.validation.labels.tolist() == [0, 1, 1]
    assert data.identity == load(root).identity
    assert data.identity.preprocessing == "middle 12 x 12 resized to 4 x 4"


def test_a_crop_is_taken_from_the_middle(root):
    assert load(root, crop=18, size=18).train.x[5].min() == 0
    assert load(root, crop=18).identity != load(root).identity


def test_a_limit_holds_for_each_split(root):
    data = load(root, limit=2)
    assert [len(split) for split in data.splits.values()] == [2, 2, 2]
    assert torch.equal(data.train.x, load(root).train.x[:2])
    assert data.train.labels is None


def test_what_does_not_fit_is_refused_before_images_are_read(root, monkeypatch):
    (root / "celeba" / "img_align_celeba" / "000001.jpg").write_bytes(b"")
    monkeypatch.setattr(memory, "available_memory", lambda: 4000)
    with pytest.raises(DataError, match=r"celeba: .*fits into .*\(11, 3, 4, 4\).*data.limit"):
        load(root)


def test_there_is_no_share_to_validate_on():
    with pytest.raises((DeclarationError, TypeError), match="validation"):
        Celeba(validation=0.1)


@pytest.mark.parametrize(
    "name", ["img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt"]
)
def test_what_is_missing_is_named(root, name):
    (root / "celeba" / name).rename(root / name)
    with pytest.raises(DataError, match=rf"celeba: expected {name}.* in .*celeba, got no such"):
        load(root, label="Smiling")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("list_eval_partition.txt", "3.jpg 0", "3.jpg 7", "line 3: expected the"),
        ("list_eval_partition.txt", "3.jpg 0", "3.jpg", "line 3: expected .* got '000003.jpg'"),
        ("list_eval_partition.txt", "000003", "000033", "none called 000033.jpg"),
        ("list_attr_celeba.txt", "Smiling", "Smilin", "'Smiling', got .*did you mean 'Smilin'"),
        ("list_attr_celeba.txt", "3.jpg  1", "3.jpg  2", "line 5: expected .* 2 times 1 or -1"),
        ("list_attr_celeba.txt", "3.jpg  1 -1", "3.jpg  1", "line 5: expected .* and 2 times 1"),
        ("list_attr_celeba.txt", "000003", "000033", "none called 000003.jpg"),
    ],
)  # fmt: skip
def test_damaged_lists_are_named(root, name, old, new, message):
    path = root / "celeba" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        load(root, label="Smiling")


def test_lists_that_are_no_text_are_named(root):
    (root / "celeba" / "list_eval_partition.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"partition.txt: expected a list of images as text"):
        load(root)


def test_small_and_damaged_images_are_named(root):
    with pytest.raises(DataError, match=r"000001.jpg: .*at least 20 pixels each way, got 18 x 22"):
        load(root, crop=20)
    path = root / "celeba" / "img_align_celeba" / "000002.jpg"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"000002.jpg: expected an image, got one that cannot"):
        load(root)


def test_a_download_that_fails_says_why(tmp_path, monkeypatch):
    from torchvision import datasets

    def refuse(*args, **kwargs):
        raise RuntimeError("too many requests")

    monkeypatch.setattr(datasets.CelebA, "download", refuse)
    with pytest.raises(
        DataError, match=r"celeba: .*got: too many requests; .*img_align_celeba.zip"
    ):
        load(tmp_path, download=True)
