"""VarianceThreshold and the univariate selectors with f_classif, f_regression, r_regression, chi2.

One sweep each: moments of the columns, by class or with the target. Scores follow the formulas of
scikit-learn 1.9 from centred sums, where scikit-learn subtracts squares of sums; on columns whose mean is
large beside their spread the scores here are the closer ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._working import Asking, learned, library, working_copy
from millrace.statistics.dependence import ByClass, CoMoments, MomentsByClass, WithTarget
from millrace.statistics.moments import ColumnMoments, Moments


@solves("sklearn.feature_selection.VarianceThreshold")
def variance_threshold(estimator: Any, rows: Rows) -> Asking:
    """Population variances; beside a threshold of 0 the range, as in scikit-learn."""
    work = working_copy(estimator)
    found: ColumnMoments = yield rows.ask(Moments(who="VarianceThreshold"))
    variances = found.variance
    if work.threshold == 0:
        range_ = np.where(found.missing > 0, np.nan, found.greatest - found.least)
        variances = np.fmin(variances, range_)
    if np.all(~np.isfinite(variances) | (variances <= work.threshold)):
        one = " (X contains only one sample)" if found.n_rows == 1 else ""
        raise ValueError(f"No feature in X meets the variance threshold {work.threshold:.5f}{one}")
    return {"variances_": variances}


@solves(
    "sklearn.feature_selection.SelectKBest",
    "sklearn.feature_selection.SelectPercentile",
    "sklearn.feature_selection.SelectFpr",
    "sklearn.feature_selection.SelectFdr",
    "sklearn.feature_selection.SelectFwe",
    "sklearn.feature_selection.GenericUnivariateSelect",
)
def univariate(estimator: Any, rows: Rows) -> Asking:
    """Scores and p-values of every column; what is selected follows from them."""
    work = working_copy(estimator)
    scorer = _scorers().get(work.score_func)
    if scorer is None:
        name = getattr(work.score_func, "__name__", repr(work.score_func))
        raise Decline(f"its score {name} needs all rows at once")
    if not rows.target:
        raise Decline("it needs a target")
    ask, score = scorer
    found = yield ask(rows, type(estimator).__name__)
    scores, p_values = score(found)
    # The check compares parameters with the number of columns alone.
    work._check_params(np.empty((1, len(scores))), None)
    work.scores_, work.pvalues_ = scores, p_values
    return learned(work)


def _scorers() -> dict[Any, tuple[Callable[[Rows, str], Ask], Callable[[Any], tuple[Any, Any]]]]:
    f = library("sklearn.feature_selection")

    def by_class(rows: Rows, who: str) -> Ask:
        return rows.ask(ByClass(who))

    def with_target(rows: Rows, who: str) -> Ask:
        return rows.ask(WithTarget(who))

    return {
        f.f_classif: (by_class, f_classif),
        f.chi2: (by_class, chi2),
        f.f_regression: (with_target, f_regression),
        f.r_regression: (with_target, lambda found: (r_regression(found), None)),
    }


def f_classif(found: MomentsByClass) -> tuple[np.ndarray, np.ndarray]:
    """One-way analysis of variance: F of each column and its p-value."""
    from scipy import special

    groups = found.moments
    whole = groups[0]
    for group in groups[1:]:
        whole = Moments().merge(whole, group)
    within = np.sum([g.m2 for g in groups], axis=0)
    between = np.sum([g.weight * (g.mean - whole.mean) ** 2 for g in groups], axis=0)
    constant = whole.least == whole.greatest
    between[constant] = 0.0
    df_between, df_within = len(groups) - 1, whole.n_rows - len(groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        msb, msw = between / float(df_between), within / float(df_within)
        still = np.flatnonzero(msw == 0.0)
        if np.count_nonzero(msb) != msb.size and still.size:
            warnings.warn(f"Features {still} are constant.", UserWarning, stacklevel=2)
        f = msb / msw
    return f, special.fdtrc(df_between, df_within, f)


def chi2(found: MomentsByClass) -> tuple[np.ndarray, np.ndarray]:
    """Chi-squared of the sums of each column by class."""
    from sklearn.feature_selection._univariate_selection import _chisquare

    groups = found.moments
    if min(float(g.least.min()) for g in groups) < 0:
        raise ValueError("Input X must be non-negative.")
    observed = np.array([g.weight * g.mean for g in groups])
    counts = np.array([g.n_rows for g in groups])
    expected = np.outer(counts / counts.sum(), observed.sum(axis=0))
    return _chisquare(observed, expected)


def r_regression(found: CoMoments) -> np.ndarray:
    """Pearson's correlation of each column with the target; 0 where it is not defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        r = found.products / np.sqrt(found.moments.m2) / np.sqrt(found.y_m2)
    return np.where(np.isnan(r), 0.0, r)


def f_regression(found: CoMoments) -> tuple[np.ndarray, np.ndarray]:
    """F of the regression of the target on each column alone, and its p-value."""
    from scipy import stats

    squares = r_regression(found) ** 2
    degrees = found.moments.n_rows - 2
    with np.errstate(divide="ignore", invalid="ignore"):
        f = squares / (1 - squares) * degrees
        p = stats.f.sf(f, 1, degrees)
    f[np.isinf(f)] = np.finfo(np.float64).max
    undefined = np.isnan(f)
    f[undefined], p[undefined] = 0.0, 1.0
    return f, p


def examples() -> Iterator[Example]:
    """Every selector and every score, dense and sparse."""
    import scipy.sparse as sp

    f = library("sklearn.feature_selection")

    def case(name: str, estimator: Any, labels: bool = True, sparse: bool = False) -> Example:
        def make() -> Any:
            rng = np.random.default_rng(6)
            y = rng.integers(0, 3, 150)
            X = rng.integers(0, 6, (150, 6)) + np.outer(y, [0, 0.1, 0.5, 1, 2, 4])
            X[:, 1] *= 1e-3
            target = np.array(["a", "b", "c"])[y] if labels else y + rng.normal(size=150)
            return estimator, sp.csr_matrix(X) if sparse else X, target

        return Example(name, make)

    yield case("VarianceThreshold", f.VarianceThreshold())
    yield case("VarianceThreshold, 0.5", f.VarianceThreshold(0.5), sparse=True)
    yield case("SelectKBest", f.SelectKBest(k=3))
    yield case("SelectKBest, all", f.SelectKBest(k="all"), sparse=True)
    yield case("SelectKBest, chi2", f.SelectKBest(f.chi2, k=2))
    yield case("SelectKBest, chi2, sparse", f.SelectKBest(f.chi2, k=2), sparse=True)
    yield case("SelectPercentile", f.SelectPercentile(percentile=40))
    yield case("SelectFpr, f_regression", f.SelectFpr(f.f_regression), labels=False)
    yield case("SelectFdr, f_regression", f.SelectFdr(f.f_regression), labels=False, sparse=True)
    yield case("SelectFwe", f.SelectFwe())
    yield case("SelectKBest, r_regression", f.SelectKBest(f.r_regression, k=2), labels=False)
    generic = f.GenericUnivariateSelect(mode="fdr", param=0.1)
    yield case("GenericUnivariateSelect", generic)
