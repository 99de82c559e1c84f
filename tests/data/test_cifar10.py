import hashlib
import io
import pickle
import sys
import tarfile

import numpy as np
import pytest
import torch

from pyro_vae.core.errors import DataError
from pyro_vae.data import CIFAR10
from pyro_vae.data import cifar10 as module

RECORD = 3073


@pytest.fixture
def records():
    """Records of each file: 4 in each of five to train on, 6 to test on."""
    rng = np.random.default_rng(0)
    sizes = {f"data_batch_{i}.bin": 4 for i in range(1, 6)} | {"test_batch.bin": 6}
    found = {name: rng.integers(0, 256, (n, RECORD), dtype=np.uint8) for name, n in sizes.items()}
    for array in found.values():
        array[:, 0] %= 10
    return found


@pytest.fixture
def root(tmp_path, records):
    folder = tmp_path / "root" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, array in records.items():
        (folder / name).write_bytes(array.tobytes())
    (folder / "batches.meta.txt").write_text("airplane\n")
    return tmp_path / "root"


def archived(root):
    folder = root / "cifar-10-batches-bin"
    with tarfile.open(root / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for path in sorted(folder.iterdir(), reverse=True):
            archive.add(path, f"{folder.name}/{path.name}")
            path.unlink()
    folder.rmdir()
    return root / "cifar-10-binary.tar.gz"


@pytest.mark.parametrize("packed", [True, False])
def test_records_are_images_and_labels(root, records, unchanged, packed):
    if packed:
        archived(root)
    data = CIFAR10(unchanged(root), validation=3).load()
    assert data.event_shape == (3, 32, 32)
    assert [len(split) for split in data.splits.values()] == [17, 3, 6]
    test = torch.from_numpy(records["test_batch.bin"])
    assert torch.equal(data.test.x, test[:, 1:].reshape(-1, 3, 32, 32) / 255)
    assert data.test.labels.tolist() == test[:, 0].tolist()
    train = torch.from_numpy(np.concatenate(list(records.values())[:5]))[data.train.rows]
    assert torch.equal(data.train.x.flatten(1), train[:, 1:] / 255)
    assert data.train.labels.tolist() == train[:, 0].tolist()
    assert data.identity == CIFAR10(root, validation=3).load().identity


def test_packed_and_unpacked_files_are_the_same_data(root):
    unpacked = CIFAR10(root, validation=3).load().identity
    archived(root)
    assert CIFAR10(root, validation=3).load().identity == unpacked


def test_what_is_missing_is_named(root, tmp_path):
    (root / "cifar-10-batches-bin" / "data_batch_3.bin").unlink()
    with pytest.raises(
        DataError,
        match=r"cifar10: expected data_batch_3.bin in .*batches-bin, got no such file \(nor",
    ):
        pass_on(root)
    with pytest.raises(
        DataError, match=r"expected data_batch_1.bin, .*, test_batch.bin in .*down"
    ):
        pass_on(tmp_path / "nowhere")


def pass_on(root):
    CIFAR10(root, validation=3).load()


def test_the_pickled_version_is_left_alone(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    class Bomb:
        def __reduce__(self):
            return sys.exit, (3,)

    for name in ("data_batch_1", "test_batch"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="only the pickled cifar-10-batches-py"):
        pass_on(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected records of 3073 bytes, .* got 0 bytes"),
        (bytes(5000), "expected records of 3073 bytes, .* got 5000 bytes"),
        (bytes(RECORD) + bytes([17]) + bytes(3072), "got the label 17 in record 1"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_files_are_named(root, content, message, packed):
    (root / "cifar-10-batches-bin" / "data_batch_2.bin").write_bytes(content)
    if packed:
        archived(root)
    with pytest.raises(DataError, match=f"data_batch_2.bin: .*{message}"):
        pass_on(root)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_archive_is_named(root, damage):
    path = archived(root)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[: len(whole) // 2], "flipped": content, "empty": b"", "text": b"<html>"}[
            damage
        ]
    )
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: ") as caught:
        pass_on(root)
    assert caught.value.__cause__ is None


def test_links_in_an_archive_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link, io.BytesIO())
    with pytest.raises(DataError, match=r"expected data_batch_1.bin, .*test_batch.bin in"):
        pass_on(tmp_path)


def test_a_download_is_checked_and_kept(root, tmp_path, monkeypatch, serve):
    origin = CIFAR10(root, validation=3).load()
    archive = archived(root)
    monkeypatch.setattr(module, "URL", f"{serve(root)}{archive.name}")
    new = tmp_path / "new"
    with pytest.raises(DataError, match=r"cifar10: .*corrupted.*or put cifar-10-binary"):
        CIFAR10(new, download=True).load()
    assert list(new.iterdir()) == []
    monkeypatch.setattr(module, "MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert CIFAR10(new, download=True, validation=3).load().identity == origin.identity
    assert [path.name for path in new.iterdir()] == [archive.name]
