"""PowerTransformer: the lambda of greatest likelihood over all rows, all columns in the same sweeps.

scikit-learn minimises by Brent's method, which stops about 1e-8 from the minimum. Here Newton's method
finds the root of the derivative, kept inside a bracket, from the lambdas of the first rows: 4 to 6
sweeps, and the last one gives the moments of the transformed columns too.

One difference: a constant column with missing cells keeps lambda 1 here, as constant columns do.
scikit-learn 1.9 misses that it is constant, and its lambda is where the search happens to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._working import Asking, float_dtype, learned, library, working_copy
from millrace.statistics.base import Batch
from millrace.statistics.moments import ColumnMoments, Moments
from millrace.statistics.powers import Likelihood, PowerLikelihood
from millrace.statistics.quantiles import head_numbers

_MOST_STEPS = 100
_CLOSE = 1e-9
"""Newton's step, relative to lambda or to what bends the column, below which it is taken."""

_DIGITS = 1e-7
"""The least spread of transformed values, beside their mean, that leaves digits to work with."""


@solves("sklearn.preprocessing.PowerTransformer", equivalent=True)
def power_transformer(estimator: Any, rows: Rows) -> Asking:
    """Lambdas, and the moments of what they make of the columns."""
    from sklearn.preprocessing._data import _is_constant_feature

    work = working_copy(estimator)
    box_cox, who = work.method == "box-cox", "PowerTransformer"
    plain: ColumnMoments
    start, scale = _start(rows, box_cox)
    plain, found = yield [
        rows.ask(Moments(who=who)),
        rows.ask(PowerLikelihood(start, box_cox, who)),
    ]
    constant = _is_constant_feature(plain.variance, plain.mean, plain.n_rows)
    constant |= plain.least == plain.greatest
    if box_cox and (constant | (plain.present == 0)).any():
        none = (plain.present == 0).any()
        raise ValueError("Column must not be all nan." if none else "Data must not be constant.")
    search = _Search(start, scale, constant | (plain.present == 0))
    for _ in range(_MOST_STEPS):
        if search.step(found):
            break
        found = yield rows.ask(PowerLikelihood(search.lambdas.copy(), box_cox, who))
    else:
        raise Decline("the likelihood of a column has no maximum that Newton's method finds")
    _check_digits(search, found)
    dtype = float_dtype(rows.head)
    work.lambdas_ = np.where(search.fixed, 1.0, search.lambdas).astype(dtype)
    if work.standardize:
        work._scaler = _scaler(work, found, plain, constant, rows)
    return learned(work)


def _check_digits(search: _Search, found: Likelihood) -> None:
    """Decline lambdas at which all values become one: there the search is one of rounding errors."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lost = np.sqrt(found.m2 / found.count) < _DIGITS * np.abs(found.mean)
    lost &= ~search.fixed
    if lost.any():
        j = int(np.argmax(lost))
        raise Decline(
            f"column {j} spreads so little beside its mean that lambda {search.lambdas[j]:.3g}, of "
            f"greatest likelihood, leaves it no digits; scale it first"
        )


def _start(rows: Rows, box_cox: bool) -> tuple[np.ndarray, np.ndarray]:
    """Lambdas of the first rows, and the spread of the logarithms of each column."""
    head = rows.head
    if head is None:
        raise Decline("the number of its columns is not known beforehand")
    X = head_numbers(head)
    X[~np.isfinite(X) | (X <= 0 if box_cox else False)] = np.nan
    scale = np.ones(X.shape[1])
    for j, column in enumerate(X.T):
        column = column[~np.isnan(column)]
        logs = np.log(column) if box_cox else np.sign(column) * np.log1p(np.abs(column))
        if len(logs) > 2 and logs.std() > 0:
            scale[j] = logs.std()
    fixed = np.array([len(np.unique(c[~np.isnan(c)])) < 3 for c in X.T], bool)
    search = _Search(np.ones(X.shape[1]), scale, fixed)
    for _ in range(_MOST_STEPS):
        ask = PowerLikelihood(search.lambdas, box_cox)
        if search.step(ask.finish(ask.of(Batch(0, X)))):
            break
    return np.where(np.isfinite(search.lambdas), search.lambdas, 1.0), scale


class _Search:
    """Newton's method for all columns at once, each within the bracket that the slopes have shown.

    `scale` is the spread of the logarithms of each column: lambda times it is what bends a column, so
    steps are bounded and compared in its units.
    """

    def __init__(self, lambdas: np.ndarray, scale: np.ndarray, fixed: np.ndarray) -> None:
        self.lambdas = np.where(fixed, 1.0, lambdas)
        self.fixed = fixed
        self.scale = scale
        self.low = np.full(len(lambdas), -np.inf)
        self.high = np.full(len(lambdas), np.inf)
        self.done = fixed.copy()
        self._last = self.lambdas.copy()

    def step(self, found: Likelihood) -> bool:
        """Move the lambdas; whether all of them were already in their place."""
        for j in np.flatnonzero(~self.done):
            self._move(int(j), float(found.slope[j]), float(found.curvature[j]))
        return bool(self.done.all())

    def _move(self, j: int, slope: float, curvature: float) -> None:
        at = self.lambdas[j]
        if not (np.isfinite(slope) and np.isfinite(curvature)):
            # The transform overflows: half of the way back to where it did not.
            self.lambdas[j] = (at + self._last[j]) / 2 if at != self._last[j] else at / 2
            return
        self._last[j] = at
        if slope > 0:
            self.low[j] = at
        else:
            self.high[j] = at
        step = -slope / curvature if curvature < 0 else np.copysign(1.0 / self.scale[j], slope)
        if abs(step) <= _CLOSE * max(abs(at), 1.0 / self.scale[j]):
            self.done[j] = True
            return
        most = 2.0 / self.scale[j]
        there = at + np.clip(step, -most, most)
        if not self.low[j] < there < self.high[j]:
            there = (self.low[j] + self.high[j]) / 2
        self.done[j] = there == at
        self.lambdas[j] = there


def _scaler(
    work: Any, found: Likelihood, plain: ColumnMoments, constant: np.ndarray, rows: Rows
) -> Any:
    """The fitted StandardScaler of the transformed columns."""
    from sklearn.preprocessing import StandardScaler
    from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature

    scaler = StandardScaler(copy=False).set_output(transform="default")
    same = constant & (work.method == "yeo-johnson")
    seen = plain.present.astype(np.float64)
    scaler.n_samples_seen_ = seen[0] if seen.max() == seen.min() else seen
    with np.errstate(invalid="ignore", divide="ignore"):
        scaler.mean_ = np.where(same, plain.mean, found.mean)
        scaler.var_ = np.where(same, plain.variance, found.m2 / found.count)
    none = plain.present == 0
    scaler.mean_[none] = scaler.var_[none] = np.nan
    mask = _is_constant_feature(scaler.var_, scaler.mean_, scaler.n_samples_seen_)
    scaler.scale_ = _handle_zeros_in_scale(np.sqrt(scaler.var_), constant_mask=mask)
    scaler.n_features_in_ = len(plain.mean)
    return scaler


def _cells(positive: bool, missing: bool) -> Any:
    rng = np.random.default_rng(21)
    X = np.column_stack(
        [
            rng.lognormal(0, 0.7, 400),
            rng.gamma(2.0, 3.0, 400) + 0.1,
            rng.normal(50, 3, 400),
            rng.exponential(1.0, 400) ** 2 + 0.01,
        ]
    )
    if not positive:
        X[:, 1] = rng.normal(size=400) ** 3
        X[:, 3] = -X[:, 3]
        X = X if missing else np.column_stack([X, np.full(400, 2.5)])
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    return X


def examples() -> Iterator[Example]:
    """Both methods, with and without scaling and missing values."""
    PowerTransformer = library("sklearn.preprocessing").PowerTransformer
    why = "scikit-learn's Brent search stops about 1e-7 from the maximum"
    for method, positive in (("yeo-johnson", False), ("box-cox", True)):
        for missing in (False, True):
            for standardize in (True, False):
                yield Example(
                    f"{method}, missing {missing}, scaled {standardize}",
                    lambda method=method, positive=positive, missing=missing, scaled=standardize: (
                        PowerTransformer(method=method, standardize=scaled),
                        _cells(positive, missing),
                        None,
                    ),
                    rtol=1e-5,
                    why=why,
                )
