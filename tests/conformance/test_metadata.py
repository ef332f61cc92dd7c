"""What scikit-learn's objects say of themselves survives compilation."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

import millrace as mr
from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, case, outcome, quiet

NATIVE = [name for name in EXAMPLES if EXAMPLES[name].native]
ATTRIBUTES = ("classes_", "n_features_in_", "feature_names_in_")


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())


@pytest.mark.parametrize("name", NATIVE)
def test_attributes_survive(name: str) -> None:
    found = case(name)
    for attribute in ATTRIBUTES:
        with quiet():
            expected, refused = outcome(lambda a=attribute: getattr(found.fitted, a))
        if refused is None and expected is not None:
            got = getattr(found.model, attribute)
            # LightGBM and XGBoost give their names another dtype than scikit-learn does.
            names = attribute == "feature_names_in_"
            assert list(expected) == list(got) if names else same(expected, got), attribute
    if "transform" in found.model.methods and hasattr(found.fitted, "get_feature_names_out"):
        with quiet():
            expected, refused = outcome(found.fitted.get_feature_names_out)
        if refused is None:  # skrub's names are an array of another dtype
            assert list(expected) == list(found.model.get_feature_names_out())


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("name", NATIVE)
def test_frames_come_out_where_the_source_gives_them(name: str, container: str) -> None:
    found = case(name)
    if "transform" not in found.methods or not hasattr(found.fitted, "set_output"):
        pytest.skip("gives no frames")
    if name.startswith("skrub.") and container == "polars":
        pytest.skip("skrub makes nulls of NaN")
    if "functions: " in name:
        pytest.skip("a FunctionTransformer hands on whatever frame its function gives")
    rows = make.first(found.rows, 12)
    with quiet():
        source = copy.deepcopy(found.fitted).set_output(transform=container)
        expected, refused = outcome(lambda: source.transform(rows))
    if refused is not None or not hasattr(expected, "columns"):
        pytest.skip("the source gives no frame here")
    with quiet():
        got = mr.compile(source, verify=False).transform(rows)
    assert type(got) is type(expected)
    assert list(got.columns) == list(expected.columns)
    bound = {"rtol": 1e-5 if found.example.ulp else 0, "atol": found.example.absolute}
    if container == "pandas":
        pd.testing.assert_frame_equal(got, expected, check_exact=not found.example.ulp, **bound)
    else:
        from polars.testing import assert_frame_equal

        # Between two steps a polars frame of float32 becomes an array of float64 in the source.
        narrow = any("32" in str(d) for d in got.dtypes)
        if any(str(d) == "Object" for d in got.dtypes):
            expected, got = (f.to_pandas().astype(str) for f in (expected, got))
            pd.testing.assert_frame_equal(got, expected)
            return
        assert_frame_equal(
            got,
            expected,
            check_dtypes=not narrow,
            check_exact=not (found.example.ulp or narrow),
            rel_tol=1e-5,
            abs_tol=1e-6,
        )
