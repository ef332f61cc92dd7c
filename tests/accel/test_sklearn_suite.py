"""A part of scikit-learn's own tests with every door open; `tools.sklearn_suite` runs all of them."""

from __future__ import annotations

from tools import sklearn_suite

FILES = (
    "linear_model/tests/test_base.py",
    "linear_model/tests/test_bayes.py",
    "linear_model/tests/test_least_angle.py",
    "preprocessing/tests/test_common.py",
    "tests/test_naive_bayes.py",
    "tests/test_discriminant_analysis.py",
)
"""Of many kinds of fits and answers, and short."""

MOST = 30
"""Entries that the reviewed list may have."""


def test_nothing_fails_only_with_acceleration() -> None:
    paths = map(sklearn_suite.path_of, FILES)
    found = sklearn_suite.run([*paths, "-m", "not slow"], accelerated=True, workers=0)
    reviewed = sklearn_suite.read_reviewed()
    assert found.failed <= reviewed.keys()
    assert not found.errors
    assert found.ours > 500, "the doors were closed"


def test_the_reviewed_list_is_short_and_gives_reasons() -> None:
    lines = sklearn_suite.REVIEWED.read_text().splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    reviewed = sklearn_suite.read_reviewed()
    assert len(entries) == len(reviewed) <= MOST
    for name, reason in reviewed.items():
        path = sklearn_suite.path_of(name.partition("::")[0])
        assert path.endswith(".py")
        assert len(reason.split()) >= 5, name
