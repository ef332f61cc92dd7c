"""The doors in scikit-learn's classes: in, out, and invisible otherwise."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import millrace
from millrace.accel.records import Ran

X = np.random.default_rng(0).normal(size=(120, 4))
Y = X @ [1.0, 2.0, 0.0, -1.0] + 1


def ran() -> list[tuple[str, str, str]]:
    """``(estimator, method, who)`` of every line of the report."""
    return [(k.estimator, k.method, k.ran.value) for k, _ in millrace.report().lines]


def test_classes_imported_before_are_accelerated(always: None) -> None:
    millrace.accelerate()
    Ridge().fit(X, Y)
    assert ran() == [("Ridge", "fit", Ran.MILLRACE.value)]


def test_restore_puts_back_the_very_objects() -> None:
    before = [vars(c).get(m) for c in (Ridge, Pipeline, RandomForestClassifier) for m in METHODS]
    code = inspect.unwrap(cross_validate).__code__
    millrace.accelerate()
    millrace.restore()
    after = [vars(c).get(m) for c in (Ridge, Pipeline, RandomForestClassifier) for m in METHODS]
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert inspect.unwrap(cross_validate).__code__ is code


METHODS = ("fit", "predict", "transform", "predict_proba")


def test_signatures_and_names_stay(always: None) -> None:
    found = (Ridge.fit, Pipeline.predict, cross_validate)
    before = [(str(inspect.signature(f)), f.__name__, f.__doc__) for f in found]
    millrace.accelerate()
    found = (Ridge.fit, Pipeline.predict, cross_validate)
    assert [(str(inspect.signature(f)), f.__name__, f.__doc__) for f in found] == before


def test_a_method_that_is_not_available_is_still_not(always: None) -> None:
    millrace.accelerate()
    pipeline = make_pipeline(StandardScaler(), Ridge())
    assert hasattr(pipeline, "predict")
    assert not hasattr(pipeline, "predict_proba")


def test_a_subclass_that_overrides_fit_is_its_own(always: None) -> None:
    class Mine(Ridge):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            super().fit(X, y + 1)
            self.mine_ = True
            return self

    millrace.accelerate()
    fitted = Mine().fit(X, Y)
    assert fitted.mine_
    assert ("Mine", "fit", Ran.MILLRACE.value) not in ran()
    np.testing.assert_allclose(fitted.intercept_, Ridge().fit(X, Y + 1).intercept_)


@pytest.mark.parametrize("copied", [copy.deepcopy, clone, lambda e: pickle.loads(pickle.dumps(e))])
def test_what_was_fitted_here_is_an_ordinary_object(always: None, copied: Any) -> None:
    with millrace.accelerated():
        fitted = Ridge().fit(X, Y)
    assert type(fitted) is Ridge
    assert vars(fitted).keys() == vars(Ridge().fit(X, Y)).keys()
    assert type(copied(fitted)) is Ridge


def test_bad_input_raises_what_scikit_learn_raises(always: None) -> None:
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN") as theirs:
        Ridge().fit(bad, Y)
    with millrace.accelerated(), pytest.raises(ValueError, match="Input X contains NaN") as ours:
        Ridge().fit(bad, Y)
    assert str(ours.value) == str(theirs.value)
    assert type(ours.value) is type(theirs.value)


def test_an_error_of_ours_is_recorded_and_the_original_runs(
    always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(import_module("millrace.fitting.fit"), "fit_by_solvers", breaks)
    with millrace.accelerated():
        fitted = Ridge().fit(X, Y)
    assert hasattr(fitted, "coef_")
    (key, _), *_ = millrace.report().lines
    assert key.ran is Ran.SKLEARN
    assert "broken on purpose" in key.trace
    with millrace.accelerated(strict=True), pytest.raises(RuntimeError, match="on purpose"):
        Ridge().fit(X, Y)


def test_blocks_nest(always: None) -> None:
    with millrace.accelerated("equivalent"):
        with millrace.accelerated():
            pass
        Ridge().fit(X, Y)
        assert len(ran()) == 1
    Ridge().fit(X, Y)
    assert len(ran()) == 1


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match='expected "exact" or "equivalent"'):
        millrace.accelerate("fast")  # type: ignore[arg-type]


def test_modules_imported_afterwards_are_accelerated_and_nothing_is_imported_for_it() -> None:
    program = (
        "import sys, millrace; millrace.accelerate()\n"
        "assert 'sklearn' not in sys.modules and 'numba' not in sys.modules\n"
        "from sklearn.linear_model import LassoCV\n"
        "print(hasattr(LassoCV.fit, '__millrace_original__'))\n"
        "millrace.restore(); print(hasattr(LassoCV.fit, '__millrace_original__'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]


def test_a_method_taken_over_from_a_class_with_doors_keeps_its_condition() -> None:
    program = (
        "import millrace; from millrace.accel import costs\n"
        "costs.is_known = lambda name, method: method == 'decision_function'\n"
        "millrace.accelerate()\n"
        "from sklearn.neighbors import NearestCentroid\n"
        "model = NearestCentroid(metric='manhattan').fit([[0.0], [1.0]], [0, 1])\n"
        "print(hasattr(model, 'decision_function'))\n"
        "found = vars(NearestCentroid)['decision_function']\n"
        "print(hasattr(found, '__millrace_original__'))\n"
        "millrace.restore(); found = vars(NearestCentroid)['decision_function']\n"
        "print(hasattr(found.fn, '__millrace_original__'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True", "False"]


def test_a_comparison_measures_scikit_learn_and_changes_nothing(always: None) -> None:
    with millrace.accelerated(compare=True):
        fitted = Ridge().fit(X, Y)
        before = fitted.coef_.copy()
        cross_validate(fitted, X, Y)
    assert [line.measured > 0 for _, line in millrace.report().lines] == [True, True]
    np.testing.assert_array_equal(fitted.coef_, before)


def test_the_report_reads_well(always: None) -> None:
    with millrace.accelerated():
        Ridge().fit(X, Y)
    report = millrace.report()
    assert "test_patches.py:" in str(report)
    assert "Ridge.fit" in str(report)
    assert "120 × 4" in report._repr_html_()
    report.clear()
    assert "no call" in str(millrace.report())


def test_in_a_notebook(always: None) -> None:
    millrace.load_ipython_extension(None)
    Ridge().fit(X, Y)
    millrace.unload_ipython_extension(None)
    Ridge().fit(X, Y)
    assert len(ran()) == 1
