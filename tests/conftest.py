"""Fixtures for all tests; the settings of pytest itself are in pyproject.toml."""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# Python processes that tests start must import the installed package too, not the sources they are started beside.
os.environ["PYTHONSAFEPATH"] = "1"

# The same examples every time, and no time limit an example: a slow machine must not fail a test.
# `pytest --hypothesis-profile=search` looks for new ones.
PATIENT = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}  # machines may be busy
hypothesis.settings.register_profile("fixed", **PATIENT, derandomize=True, max_examples=60)
hypothesis.settings.register_profile("search", **PATIENT, max_examples=2000)
hypothesis.settings.load_profile("fixed")


@pytest.fixture
def rng():
    """A generator that starts from the same seed in every test."""
    return np.random.default_rng(20240229)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Run a test for both data types."""
    return request.param


@pytest.fixture
def set_num_threads():
    """`convnet.functional.set_num_threads`, with the number of threads put back after the test."""
    functional = pytest.importorskip("convnet.functional")
    before = functional.get_num_threads()
    yield functional.set_num_threads
    functional.set_num_threads(before)


@pytest.fixture
def set_algorithm():
    """`convnet.functional.set_algorithm`, with the algorithm put back after the test."""
    functional = pytest.importorskip("convnet.functional")
    before = functional.get_algorithm()
    yield functional.set_algorithm
    functional.set_algorithm(before)


@pytest.fixture
def direct(set_algorithm):
    """Convolutions are computed directly: exact on integers."""
    set_algorithm("direct")


@pytest.fixture(scope="session")
def convnet_data():
    """The folder $CONVNET_DATA; tests that need downloaded data sets skip without it."""
    folder = os.environ.get("CONVNET_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CONVNET_DATA names no folder with data sets")
    return Path(folder)
