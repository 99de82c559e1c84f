import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_vae.core.errors import DataError
from pyro_vae.data import as_dataset
from pyro_vae.data.streams import stream


@pytest.fixture
def data():
    return as_dataset(torch.arange(100.0)[:, None], torch.arange(100), name="<numbers>")


def test_batches_are_one_shuffled_pass(data):
    generator = stream(0, "order")
    first, second = (torch.cat(list(data.batches(16, generator)))[:, 0] for _ in range(2))
    assert torch.equal(first.sort().values, data.train.x[:, 0])
    assert torch.equal(second.sort().values, data.train.x[:, 0])
    assert not torch.equal(first, second)
    assert not torch.equal(first, data.train.x[:, 0])


def test_batches_follow_the_generator_alone(data):
    passes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        passes.append(torch.cat(list(data.batches(16, stream(0, "order")))))
    assert torch.equal(*passes)


def test_a_pass_goes_on_from_a_generator_that_is_set_back():
    data = as_dataset(torch.full((40, 3), 0.5), binarization="dynamic")
    generator = stream(0, "order")
    list(data.batches(8, generator))
    state = generator.get_state()
    second = torch.cat(list(data.batches(8, generator)))
    resumed = torch.cat(list(data.batches(8, torch.Generator().set_state(state))))
    assert torch.equal(second, resumed)


@pytest.mark.parametrize(
    ("size", "drop_last", "sizes"),
    [
        (30, False, [30, 30, 10]),
        (30, True, [30, 30]),
        (35, True, [35, 35]),
        (99, True, [70]),
        (99, False, [70]),
    ],
)
def test_sizes_of_batches(data, size, drop_last, sizes):
    batches = data.batches(size, stream(0, "order"), drop_last=drop_last)
    assert [len(x) for x in batches] == sizes


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_unfit_batch_sizes_are_refused_at_once(data, size):
    with pytest.raises(DataError, match="batch_size: expected a whole number > 0, got"):
        data.batches(size, stream(0, "order"))


def test_reprs_name_the_data(data):
    expected = (
        r"DataSet\(<numbers> \[sha256 [0-9a-f]{12}; train 70, validation 10, test 20; "
        r"split seed 0; binarization none\], event_shape=\(1,\)\)"
    )
    assert re.fullmatch(expected, repr(data))
    assert repr(data.train) == "Split(70 of shape (1,), labelled)"
    page = data._repr_html_()
    assert "&lt;numbers&gt;" in page
    assert "<numbers>" not in page
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in page.split("<tr>")]
    assert ["validation", "10", "yes", "fixed"] in rows


def test_a_table_shows_the_range_of_its_columns():
    x = torch.tensor([[0.0, -5.0], [2.0, 5.0], [4.0, 30.0]]).repeat(20, 6)
    page = as_dataset(x, validation=0, test=0)._repr_html_()
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in page.split("<tr>")]
    assert ["0", "0", "2.000", "4.000"] in rows
    assert ["1", "-5.000", "10.00", "30.00"] in rows
    assert "the first 10 of 12 columns" in page
    assert "<img" not in page


def test_images_are_shown_as_images():
    x = torch.zeros(30, 1, 4, 4)
    x[:, :, 1] = 1.0
    page = as_dataset(x, validation=0, test=0)._repr_html_()
    assert 'alt="the first 20 training images"' in page
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"))
    assert {0, 255} <= set(np.unique(pixels).tolist())


@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_to_moves_every_tensor(data, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    moved = data.to(device)
    assert moved.identity == data.identity
    assert moved.event_shape == data.event_shape
    for split in moved.splits.values():
        assert {t.device.type for t in (split.x, split.labels, split.rows)} == {device}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_batches_equal_those_of_the_cpu():
    data = as_dataset(torch.full((40, 3), 0.5), binarization="dynamic")
    here, there = (
        torch.cat(list(d.batches(8, stream(0, "order")))) for d in (data, data.to("cuda"))
    )
    assert there.device.type == "cuda"
    assert torch.equal(here, there.cpu())
    own = torch.Generator("cuda").manual_seed(0)
    assert {x.device.type for x in data.to("cuda").batches(8, own)} == {"cuda"}
    assert as_dataset(torch.rand(10, 2, device="cuda")).train.x.device.type == "cuda"
