import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from pyro_vae.core.errors import DataError
from pyro_vae.data import Omniglot

from .conftest import packed, png

NOISE = np.random.default_rng(0).integers(0, 256, (9, 9))
HALVES = {"images_background": ["Latin", "Greek"], "images_evaluation": ["Tibetan"]}


@pytest.fixture
def root(tmp_path):
    """Two characters an alphabet, drawn by three people; a black square on white."""
    for half, alphabets in HALVES.items():
        for a, alphabet in enumerate(alphabets):
            for character in (1, 2):
                folder = tmp_path / f"root/omniglot-py/{half}/{alphabet}/character{character:02}"
                folder.mkdir(parents=True)
                for person in (1, 2, 3):
                    paper = np.full((12, 12), 255)
                    paper[: 2 * character, : 3 * person] = 0
                    paper[6:, 6 + a :] = 0
                    image = Image.fromarray(paper.astype(np.uint8)).convert("1")
                    image.save(folder / f"0{character}0{a}_{person:02}.png")
    return tmp_path / "root"


def test_ink_is_1_and_characters_are_numbered(root, unchanged):
    data = Omniglot(12, unchanged(root), validation=3).load()
    assert data.event_shape == (1, 12, 12)
    assert [len(split) for split in data.splits.values()] == [9, 3, 6]
    assert data.test.labels.tolist() == [4, 4, 4, 5, 5, 5]
    ink = torch.zeros(12, 12)
    ink[:2, :3] = ink[6:, 6:] = 1
    assert torch.equal(data.test.x[0, 0], ink)
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert labels.sort().values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert data.identity.preprocessing == "ink 1, resized to 12 x 12"
    assert data.identity == Omniglot(12, root, validation=3).load().identity


def test_images_are_resized_by_means(root):
    half, whole = (Omniglot(size, root, validation=0).load().train.x for size in (6, 12))
    assert half.shape == (12, 1, 6, 6)
    assert half.mean().item() == pytest.approx(whole.mean().item(), abs=0.02)
    assert ((half > 0) & (half < 1)).any()


def test_zips_are_read_where_they_lie(root, unchanged):
    unpacked = Omniglot(12, root, validation=3).load()
    for half in HALVES:
        packed(root / "omniglot-py" / half, prefix=f"{half}/")
    again = Omniglot(12, unchanged(root), validation=3).load()
    assert again.identity == unpacked.identity
    assert torch.equal(again.train.labels, unpacked.train.labels)


def test_what_is_missing_is_named(root, tmp_path):
    (root / "omniglot-py" / "images_evaluation").rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError, match=r"omniglot: expected images_evaluation \(a folder, or \.zip"
    ):
        Omniglot(root=root).load()
    (root / "omniglot-py" / "images_evaluation").mkdir()
    with pytest.raises(
        DataError, match=r"images_evaluation: expected images <alphabet>.*got none"
    ):
        Omniglot(root=root).load()


@pytest.mark.parametrize("content", [b"", b"<html>", png(NOISE)[:60]])
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_images_are_named(root, content, zipped):
    folder = root / "omniglot-py" / "images_background"
    (folder / "Greek" / "character02" / "0200_03.png").write_bytes(content)
    if zipped:
        packed(folder, prefix="images_background/")
    with pytest.raises(
        DataError, match=r"character02/0\w+.png: expected an image, got one"
    ) as caught:
        Omniglot(root=root).load()
    assert caught.value.__cause__ is None


def test_a_damaged_zip_is_named(root):
    path = packed(root / "omniglot-py" / "images_background")
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(
        DataError, match=r"images_background.zip: expected a whole .zip file, got a"
    ):
        Omniglot(root=root).load()
    path.write_bytes(content.replace(b"IDAT", b"IDAS", 1))
    with pytest.raises(DataError, match=r"background.zip.Greek/.*png: expected a whole file.*CRC"):
        Omniglot(root=root).load()


def test_a_download_keeps_the_zips(root, tmp_path, monkeypatch, serve):
    origin = Omniglot(12, root, validation=3).load()
    zips = {half: packed(root / "omniglot-py" / half, prefix=f"{half}/") for half in HALVES}
    sums = {half: hashlib.md5(path.read_bytes()).hexdigest() for half, path in zips.items()}
    address = serve(root / "omniglot-py").rstrip("/")
    monkeypatch.setattr(datasets.Omniglot, "download_url_prefix", address)
    monkeypatch.setattr(datasets.Omniglot, "zips_md5", sums)
    data = Omniglot(12, tmp_path / "new", download=True, validation=3).load()
    assert data.identity == origin.identity
