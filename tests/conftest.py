"""What every test shares: one thread in the source libraries, and Hypothesis without a clock."""

from __future__ import annotations

import os

# Before any of them is imported. Their threads gain nothing on tables of a hundred rows, and wait
# for each other in busy loops where the machine has other work.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest
from hypothesis import settings

# The same examples on every run; a slow machine is not a failing test.
settings.register_profile("millrace", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("millrace")


@pytest.fixture
def threads():
    """Sets the number of threads of predictions and puts it back afterwards."""
    from millrace import get_threads, set_threads

    before = get_threads()
    yield set_threads
    set_threads(before)
