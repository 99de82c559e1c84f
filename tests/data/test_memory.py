import numpy as np
import pytest
import scipy.sparse

from pyro_vae.core.errors import DataError
from pyro_vae.data import as_dataset, memory


def test_linux_says_what_is_free(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    3000 kB\n")
    monkeypatch.setattr(memory, "MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    assert memory.available_memory() == 3_072_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory.available_memory() == 3_072_000
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.available_memory() == 4000
    (tmp_path / "memory.current").write_text("6000\n")
    assert memory.available_memory() == 0


def test_elsewhere_nothing_is_known_and_nothing_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY_INFO", tmp_path / "absent")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    assert memory.available_memory() is None
    memory.check_room((10**9, 10**9), "x", "bring less")


def test_what_does_not_fit_is_refused_before_it_is_made():
    vast = scipy.sparse.csr_matrix((10**6, 10**9), dtype=np.int8)
    with pytest.raises(DataError, match=r"x: expected an array that fits.*8000000\.0 GB.*bring"):
        as_dataset(vast)
