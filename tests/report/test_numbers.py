import math

import numpy as np
import pytest

from pyro_vae.report.numbers import duration, nats, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (60000, "60,000"),
        (np.int64(1995), "1,995"),
        (np.float32(0.5), "0.5000"),
        (0.0, "0"),
        (9999.6, "10,000"),
        (-0.00012345, "-0.0001234"),
        (1.5e-9, "1.500e-09"),
        (math.inf, "inf"),
        (math.nan, "—"),
        (None, "—"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (-93.41234, 0.0512, "-93.412 ± 0.051"),
        (-93.41234, 0.0996, "-93.41 ± 0.10"),  # the error rounds up to one digit more
        (-93.41234, 12.3, "-93 ± 12"),
        (-93412.34, 1234.5, "-93412 ± 1234"),
        (-93.41234, 1.2e-9, "-93.412340 ± 1.2e-09"),
        (-93.41234, None, "-93.412"),
        (-93.41234, 0.0, "-93.412"),
        (-93.41234, math.nan, "-93.412"),
        (-93.41234, math.inf, "-93.412 ± inf"),
        (-1e-9, 0.1, "0.00 ± 0.10"),  # no minus zero
        (-math.inf, 0.1, "-inf"),
        (math.nan, 0.1, "—"),
        (None, None, "—"),
    ],
)
def test_nats(value, stderr, text):
    assert nats(value, stderr) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00"), (59.9, "0:59"), (3600, "1:00:00"), (math.inf, "—"), (None, "—")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
