"""CIFAR-10, SVHN, Omniglot, CelebA, and any other data set of torchvision."""

import hashlib
import pickle
import shutil
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from pyro_vae.core.errors import DataError, DeclarationError
from pyro_vae.data import CIFAR10, SVHN, Celeba, Omniglot, Torchvision, memory
from pyro_vae.data.loading import load_data

from .conftest import packed, png

RNG = np.random.default_rng(0)
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]
HALVES = {"images_background": ["Latin", "Greek"], "images_evaluation": ["Tibetan"]}
LISTS = {"list_eval_partition", "list_attr_celeba", "identity_CelebA", "list_bbox_celeba",
         "list_landmarks_align_celeba"}  # fmt: skip


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A root of small batches with the sums that torchvision is to expect, and their arrays."""
    folder = tmp_path / "cifar" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    arrays = {name: RNG.integers(0, 256, (4, 3072), np.uint8) for name in [*BATCHES, "test_batch"]}
    for name, data in arrays.items():
        content = {"data": data, "labels": [int(i) for i in data[:, 0] % 10]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    sums = {path.name: md5(path) for path in folder.iterdir()}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, sums[n]] for n in BATCHES])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = datasets.CIFAR10.meta | {"md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return tmp_path / "cifar", arrays


def archived(root):
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(root / "cifar-10-batches-py", "cifar-10-batches-py")
    shutil.rmtree(root / "cifar-10-batches-py")
    return root / "cifar-10-python.tar.gz"


@pytest.mark.parametrize("pack", [True, False])
def test_cifar10(cifar, unchanged, pack):
    root, arrays = cifar
    if pack:
        archived(root)
    data = CIFAR10(unchanged(root), validation=3).load()
    assert [len(split) for split in data.splits.values()] == [17, 3, 4]
    test = torch.from_numpy(arrays["test_batch"])
    assert torch.equal(data.test.x, test.reshape(-1, 3, 32, 32) / 255)
    assert data.test.labels.tolist() == (test[:, 0] % 10).tolist()
    train = np.concatenate([arrays[name] for name in BATCHES])[data.train.rows]
    assert torch.equal(data.train.x.flatten(1), torch.from_numpy(train) / 255)


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_nothing_is_unpickled_whose_sum_is_another(cifar, name):
    class Bomb:
        def __reduce__(self):
            return sys.exit, (3,)

    root, _ = cifar
    (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=r"cifar10: expected the files.*corrupted"):
        CIFAR10(root, validation=3).load()


def test_links_in_an_archive_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("cifar-10-batches-py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz: expected a whole archive"):
        CIFAR10(tmp_path).load()


def test_a_download_of_cifar10_is_checked(cifar, tmp_path, monkeypatch, serve):
    root, _ = cifar
    origin = CIFAR10(root, validation=3).load()
    archive, new = archived(root), tmp_path / "new"
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{serve(root)}{archive.name}")
    with pytest.raises(DataError, match=r"cifar10: .* download CIFAR10 .*corrupted"):
        CIFAR10(new, download=True).load()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    assert CIFAR10(new, download=True, validation=3).load().identity == origin.identity


@pytest.fixture
def svhn(tmp_path, monkeypatch):
    """A root of three small files, and what they hold."""
    arrays, files = {}, {}
    (tmp_path / "svhn").mkdir()
    for name, size in (("train", 20), ("test", 8), ("extra", 12)):
        arrays[name] = {
            "X": RNG.integers(0, 256, (32, 32, 3, size), dtype=np.uint8),
            "y": RNG.integers(1, 11, (size, 1), dtype=np.uint8),
        }
        path = tmp_path / "svhn" / f"{name}_32x32.mat"
        savemat(path, arrays[name], do_compression=True)
        files[name] = [f"http://127.0.0.1:9/{path.name}", path.name, md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    return tmp_path / "svhn", arrays


def test_svhn(svhn, unchanged):
    root, arrays = svhn
    data = SVHN(unchanged(root), validation=4).load()
    assert [len(split) for split in data.splits.values()] == [16, 4, 8]
    x, labels = torch.from_numpy(arrays["test"]["X"]), arrays["test"]["y"][:, 0]
    assert torch.equal(data.test.x[5], x[..., 5].permute(2, 0, 1) / 255)
    assert data.test.labels.tolist() == [0 if label == 10 else label for label in labels]


def test_svhns_extra_images_come_after_the_others(svhn):
    root, arrays = svhn
    data = SVHN(root, extra=True, validation=0).load()
    assert [len(split) for split in data.splits.values()] == [32, 0, 8]
    last = torch.from_numpy(arrays["extra"]["X"])[..., -1]
    assert torch.equal(data.train.x[-1], last.permute(2, 0, 1) / 255)
    (root / "extra_32x32.mat").unlink()
    SVHN(root, validation=4).load()
    with pytest.raises(DataError, match=r"svhn: expected the files.*put train_32x32.mat"):
        SVHN(root, extra=True).load()


def test_a_damaged_file_of_svhn_is_refused(svhn):
    path = svhn[0] / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"svhn: expected the files.*corrupted"):
        SVHN(svhn[0]).load()


@pytest.fixture
def omniglot(tmp_path, monkeypatch):
    """Two characters an alphabet, drawn by three people; a black square on white; zips beside."""
    place = tmp_path / "omniglot" / "omniglot-py"
    for half, alphabets in HALVES.items():
        for a, alphabet in enumerate(alphabets):
            for character in (1, 2):
                folder = place / half / alphabet / f"character{character:02}"
                folder.mkdir(parents=True)
                for person in (1, 2, 3):
                    paper = np.full((12, 12), 255)
                    paper[: 2 * character, : 3 * person] = 0
                    paper[6:, 6 + a :] = 0
                    image = Image.fromarray(paper.astype(np.uint8)).convert("1")
                    image.save(folder / f"0{character}0{a}_{person:02}.png")
        shutil.copytree(place / half, place / "copy" / half)
        packed(place / half, prefix=f"{half}/")
        shutil.move(place / "copy" / half, place / half)
    shutil.rmtree(place / "copy")
    sums = {half: md5(place / f"{half}.zip") for half in HALVES}
    monkeypatch.setattr(datasets.Omniglot, "zips_md5", sums)
    return tmp_path / "omniglot"


@pytest.mark.parametrize("unpacked", [True, False])
def test_omniglots_ink_is_1_and_its_characters_are_numbered(omniglot, unchanged, unpacked):
    if not unpacked:
        for half in HALVES:
            shutil.rmtree(omniglot / "omniglot-py" / half)
    data = Omniglot(12, unchanged(omniglot), validation=3).load()
    assert data.event_shape == (1, 12, 12)
    assert [len(split) for split in data.splits.values()] == [9, 3, 6]
    assert data.test.labels.tolist() == [4, 4, 4, 5, 5, 5]
    ink = torch.zeros(12, 12)
    ink[:2, :3] = ink[6:, 6:] = 1
    assert torch.equal(data.test.x[0, 0], ink)
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert labels.sort().values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert data.identity.preprocessing == "ink 1, resized to 12 x 12"


def test_omniglots_images_are_resized_by_means(omniglot):
    half, whole = (Omniglot(size, omniglot, validation=0).load().train.x for size in (6, 12))
    assert half.shape == (12, 1, 6, 6)
    assert half.mean().item() == pytest.approx(whole.mean().item(), abs=0.02)
    assert ((half > 0) & (half < 1)).any()


@pytest.mark.parametrize("content", [b"", b"<html>", png(RNG.integers(0, 256, (9, 9)))[:60]])
def test_a_damaged_image_of_omniglot_is_named(omniglot, content):
    folder = omniglot / "omniglot-py" / "images_background"
    (folder / "Greek" / "character02" / "0200_03.png").write_bytes(content)
    with pytest.raises(DataError, match=r"character02/0200_03.png: expected an image") as caught:
        Omniglot(root=omniglot).load()
    assert caught.value.__cause__ is None


def test_omniglots_zips_are_checked(omniglot):
    path = omniglot / "omniglot-py" / "images_background.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"omniglot: expected the files .*corrupted.*put images_b"):
        Omniglot(root=omniglot).load()


@pytest.fixture
def celeba(tmp_path, monkeypatch):
    """Eleven small images, all of one grey within a border of black, and the five lists."""
    folder = tmp_path / "faces" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06}.jpg" for i in range(1, 12)]
    for i, name in enumerate(names):
        pixels = np.zeros((22, 18, 3), dtype=np.uint8)
        pixels[3:19, 1:17] = 20 * i
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name, quality=100)
    numbers = [0] * 6 + [1] * 3 + [2] * 2
    smiles = [f"{1 if i % 3 else -1:2} -1" for i in range(11)]
    rows = {"list_eval_partition": numbers, "list_attr_celeba": smiles}
    for stem in LISTS:
        header = (
            [] if stem in {"list_eval_partition", "identity_CelebA"} else ["11", "Smiling Young"]
        )
        lines = [f"{n} {row}" for n, row in zip(names, rows.get(stem, ["1 2"] * 11), strict=True)]
        (folder / f"{stem}.txt").write_text("\n".join(header + lines) + "\n")
    files = [("", md5(folder / f"{stem}.txt"), f"{stem}.txt") for stem in LISTS]
    monkeypatch.setattr(datasets.CelebA, "file_list", [*files, ("", "", "img_align_celeba.zip")])
    return tmp_path / "faces"


def faces(root, **arguments):
    return Celeba(root=root, **{"size": 4, "crop": 12} | arguments).load()


@pytest.mark.parametrize("zipped", [True, False])
def test_celebas_splits_are_the_official_ones(celeba, unchanged, zipped):
    if zipped:
        packed(celeba / "celeba" / "img_align_celeba", prefix="img_align_celeba/")
    data = faces(unchanged(celeba), label="Smiling")
    assert data.event_shape == (3, 4, 4)
    assert [len(split) for split in data.splits.values()] == [6, 3, 2]
    greys = [split.x.mean((1, 2, 3)) * 255 / 20 for split in data.splits.values()]
    assert torch.allclose(torch.cat(greys), torch.arange(11.0), atol=0.1)
    assert data.train.x.std((1, 2, 3)).max() < 0.01  # the border is cut off
    assert data.validation.labels.tolist() == [0, 1, 1]
    assert data.identity.preprocessing == "middle 12 x 12 resized to 4 x 4"


def test_a_crop_is_taken_from_the_middle(celeba):
    assert faces(celeba, crop=18, size=18).train.x[5].min() == 0
    assert faces(celeba, crop=18).identity != faces(celeba).identity
    with pytest.raises(DataError, match=r"at least 20 pixels each way, got 18 x 22"):
        faces(celeba, crop=20)


def test_a_limit_holds_for_each_split(celeba):
    data = faces(celeba, limit=2)
    assert [len(split) for split in data.splits.values()] == [2, 2, 2]
    assert torch.equal(data.train.x, faces(celeba).train.x[:2])
    assert data.train.labels is None


def test_what_does_not_fit_is_refused_before_images_are_read(celeba, monkeypatch):
    (celeba / "celeba" / "img_align_celeba" / "000002.jpg").write_bytes(b"")
    monkeypatch.setattr(memory, "available_memory", lambda: 4000)
    with pytest.raises(DataError, match=r"celeba: .*fits into .*\(11, 3, 4, 4\).*data.limit"):
        faces(celeba)


def test_unfit_faces_are_refused_in_words(celeba):
    with pytest.raises((DeclarationError, TypeError), match="validation"):
        Celeba(validation=0.1)
    with pytest.raises(DataError, match=r"got 'Smilin'; did you mean 'Smiling'.*Smiling, Young"):
        faces(celeba, label="Smilin")
    path = celeba / "celeba" / "img_align_celeba" / "000002.jpg"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"000002.jpg: expected a file that .* can read"):
        faces(celeba)


@pytest.mark.parametrize("name", ["img_align_celeba", "list_eval_partition.txt"])
def test_what_is_missing_of_celeba_is_told(celeba, name):
    (celeba / "celeba" / name).rename(celeba / name)
    with pytest.raises(DataError, match=r"celeba: expected the files.*put img_align_celeba"):
        faces(celeba)


def test_a_download_that_fails_says_why(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("too many requests")

    monkeypatch.setattr(datasets.CIFAR10, "download", refuse)
    with pytest.raises(DataError, match=r"cifar10: .*got: too many requests; try again"):
        load_data({"kind": "cifar10", "root": str(tmp_path), "download": True})


def fake(**arguments):
    options = {"size": 20, "image_size": [3, 6, 6], "num_classes": 4}
    return load_data({"kind": "torchvision", "name": "FakeData", "options": options} | arguments)


def test_any_data_set_is_read_by_its_name():
    data = fake(validation=3, test=4)
    assert [len(split) for split in data.splits.values()] == [13, 3, 4]
    original = datasets.FakeData(20, (3, 6, 6), 4)
    for row, x, label in zip(data.test.rows, data.test.x, data.test.labels, strict=True):
        image, target = original[int(row)]
        assert np.array_equal(np.asarray(image), (x * 255).round().permute(1, 2, 0))
        assert label == target
    assert data.identity.name == "FakeData"
    assert fake(size=4, channels=1, limit=10, test=0, validation=0).train.x.shape == (10, 1, 4, 4)


def test_official_splits_are_found(svhn, monkeypatch):
    data = Torchvision("SVHN", root=svhn[0]).load()
    assert data.identity == SVHN(svhn[0], validation=0.1).load().identity

    class Flowers(datasets.FakeData):
        def __init__(self, root, split="train"):
            datasets.utils.verify_str_arg(split, "split", ("train", "val", "test"))
            super().__init__({"train": 12, "val": 5, "test": 6}[split], (1, 3, 3))

    monkeypatch.setattr(datasets, "Flowers102", Flowers)

    def sizes(**more):
        data = Torchvision("Flowers102", **more).load()
        return [len(split) for split in data.splits.values()]

    assert sizes() == [12, 5, 6]
    assert sizes(validation=2) == [10, 2, 6]
    assert sizes(options={"split": "val"}, validation=0, test=1) == [4, 0, 1]


def test_what_torchvision_does_not_download_is_told(tmp_path, monkeypatch):
    class Absent(datasets.FakeData):
        def __init__(self, root):
            raise FileNotFoundError("nothing here")

    monkeypatch.setattr(datasets, "Cityscapes", Absent)
    with pytest.raises(DataError, match="torchvision does not download Cityscapes"):
        Torchvision("Cityscapes", root=tmp_path, download=True).load()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CIFAR1000", r"name of a class of torchvision.datasets, got 'CIFAR1000'; did you mean"),
        ("LSUN", "unpickles a cache"),
        ("VOCDetection", r"expected the files of|got no|not found"),
        ("Flowers102", r"expected the files of torchvision's Flowers102 in .*data.download=true"),
        ("VisionDataset", "expected the name of a class"),
    ],
)
def test_what_cannot_be_read_is_refused(name, message, tmp_path):
    with pytest.raises(DataError, match=message):
        Torchvision(name, root=tmp_path).load()


def test_options_that_the_class_does_not_take_are_refused():
    with pytest.raises(
        DataError, match=r"options that torchvision's FakeData takes.*data.options"
    ):
        fake(options={"sise": 3})


def test_images_of_several_sizes_ask_for_one(monkeypatch):
    class Mixed(datasets.FakeData):
        def __getitem__(self, index):
            image, target = super().__getitem__(index)
            return image.resize((3 + index, 3)), target

    monkeypatch.setattr(datasets, "FakeData", Mixed)
    with pytest.raises(
        DataError, match=r"images of one shape, \(3, 3, 3\).*\(3, 3, 4\) in image 1"
    ):
        fake()
    assert fake(size=3).event_shape == (3, 3, 3)
