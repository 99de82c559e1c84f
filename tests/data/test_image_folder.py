import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.data import ImageFolder
from pyro_vae.data.pictures import decoded, formats, pixels

from .conftest import png

NOISE = np.random.default_rng(0).integers(0, 256, (9, 9))


@pytest.fixture
def folder(tmp_path):
    """Twelve images of three labels in several formats, with files that are none."""
    endings = ["png", "jpg", "bmp", "gif", "webp", "tiff"]
    for i in range(12):
        path = tmp_path / "pictures" / "cba"[i % 3] / f"{i:02}.{endings[i % 6]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 8), (20 * i, 20 * i, 20 * i)).save(path)
    (tmp_path / "pictures" / "notes.txt").write_text("no image")
    (tmp_path / "pictures" / ".hidden.png").write_text("no image")
    return tmp_path / "pictures"


def whole(folder, **arguments):
    return ImageFolder(folder, **{"validation": 0, "test": 0, "size": 4} | arguments).load()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_format_are_read(folder, channels, unchanged):
    data = whole(unchanged(folder), channels=channels)
    assert data.event_shape == (channels, 4, 4)
    order = [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]  # labels a, b, c; then by name
    expected = torch.tensor(order) * 20 / 255
    assert torch.allclose(data.train.x.mean((1, 2, 3)), expected, atol=3 / 255)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.identity.name == "pictures"
    assert data.identity == whole(folder, channels=channels).identity


def test_splits(folder):
    data = ImageFolder(folder, size=4, validation=2, test=3, seed=1).load()
    assert [len(split) for split in data.splits.values()] == [7, 2, 3]


def test_preprocessing_is_part_of_the_identity(folder):
    changes = [{}, {"size": 5}, {"channels": 1}, {"fit": "stretch"}]
    identities = [whole(folder, **change).identity for change in changes]
    assert len(set(identities)) == 4
    assert identities[0].preprocessing == "colour, crop to 4 x 4"
    assert identities[3].preprocessing == "colour, stretch to 4 x 4"


def test_without_subfolders_there_are_no_labels(folder):
    data = whole(folder / "a")
    assert data.train.labels is None
    (folder / "top.png").write_bytes(png(np.zeros((4, 4))))
    with pytest.raises(DataError, match=r"all images in subfolders, or none, got top.png beside"):
        whole(folder)


def test_subfolders_of_subfolders_keep_the_first_label(folder):
    (folder / "b" / "deep").mkdir()
    (folder / "b" / "deep" / "x.png").write_bytes(png(np.zeros((4, 4))))
    assert whole(folder).train.labels.bincount().tolist() == [4, 5, 4]


def test_links_are_followed_and_never_in_circles(folder):
    (folder / "a" / "round").symlink_to(folder)
    (folder / "d").symlink_to(folder / "b")
    assert whole(folder).train.labels.bincount().tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("content", [b"", b"<html>", png(NOISE)[:60], b"%!PS-Adobe-3.0 "])
def test_the_file_that_cannot_be_read_is_named(folder, content):
    (folder / "b" / "01.png").write_bytes(content)
    with pytest.raises(
        DataError, match=r"b/01.png: expected an image, got one .*: .*; put"
    ) as caught:
        whole(folder)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("absent", "absent: expected a folder of images, got no such folder"),
        ("notes.txt", "notes.txt: expected a folder of images, got a file"),
        ("empty", "expected images .*, got none among its 0 files; name the folder"),
    ],
)
def test_folders_that_do_not_serve_are_refused(folder, where, message):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        whole(folder / where)


def test_unfit_arguments_are_refused():
    with pytest.raises(DeclarationError, match=r"channels"):
        ImageFolder("x", channels=2)
    with pytest.raises(DeclarationError, match="size: must be > 0, got 0"):
        ImageFolder("x", size=0)


def read(content, channels=1):
    return pixels(decoded(content, "it"), channels, 2)


def test_transparent_pixels_lie_on_black():
    pixels = np.full((2, 2, 4), 255)
    pixels[0, :, 3] = 0
    assert read(png(pixels)).tolist() == [[[0, 0], [255, 255]]]
    assert read(png(pixels), channels=3).shape == (3, 2, 2)


def test_sixteen_bits_keep_their_scale(tmp_path):
    Image.fromarray(np.full((2, 2), 0x8000, dtype=np.uint16)).save(tmp_path / "x.png")
    assert read((tmp_path / "x.png").read_bytes()).tolist() == [[[128, 128], [128, 128]]]
    Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(DataError, match=r"x.tiff: .*values \(mode F\) have no known greatest"):
        ImageFolder(tmp_path).load()


def test_photographs_are_turned_upright(tmp_path):
    image = Image.fromarray(np.array([[0, 255], [0, 255]], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "x.png", exif=exif)
    assert read((tmp_path / "x.png").read_bytes()).tolist() == [[[0, 0], [255, 255]]]


def test_crop_keeps_the_middle_and_stretch_all():
    values = np.zeros((4, 8))
    values[:, 2:6] = 200
    image = decoded(png(values), "it")
    assert (pixels(image, 1, 4) == 200).all()
    assert 0 < pixels(image, 1, 4, "stretch").mean() < 200


def test_bombs_are_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with warnings.catch_warnings(), pytest.raises(DataError, match="exceeds limit of 50 pixels"):
        read(png(np.zeros((8, 8))))


def test_formats_run_no_other_program():
    assert "EPS" not in formats().values()
    assert {".png", ".jpg", ".jpeg", ".tif", ".webp"} <= set(formats())
    assert ".pdf" not in formats()
