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
from millrace.statistics.moments import ColumnMoments, Moments
from millrace.statistics.powers import Likelihood, PowerLikelihood

_MOST_STEPS = 100
_CLOSE = 1e-9
"""Newton's step, relative to lambda, below which it is taken; the square is lost in rounding."""


@solves("sklearn.preprocessing.PowerTransformer")
def power_transformer(estimator: Any, rows: Rows) -> Asking:
    """Lambdas, and the moments of what they make of the columns."""
    from sklearn.preprocessing._data import _is_constant_feature

    work = working_copy(estimator)
    box_cox, who = work.method == "box-cox", "PowerTransformer"
    plain: ColumnMoments
    start = _start(rows, box_cox)
    plain, found = yield [
        rows.ask(Moments(who=who)),
        rows.ask(PowerLikelihood(start, box_cox, who)),
    ]
    constant = _is_constant_feature(plain.variance, plain.mean, plain.n_rows)
    constant |= plain.least == plain.greatest
    if box_cox and (constant | (plain.present == 0)).any():
        raise ValueError(
            "Column must not be all nan."
            if (plain.present == 0).any()
            else "Data must not be constant."
        )
    search = _Search(start, constant | (plain.present == 0))
    for _ in range(_MOST_STEPS):
        if search.step(found):
            break
        found = yield rows.ask(PowerLikelihood(search.lambdas.copy(), box_cox, who))
    else:
        raise Decline("the likelihood of a column has no maximum that Newton's method finds")
    dtype = float_dtype(rows.head)
    work.lambdas_ = np.where(search.fixed, 1.0, search.lambdas).astype(dtype)
    if work.standardize:
        work._scaler = _scaler(work, found, plain, constant, rows)
    return learned(work)


def _start(rows: Rows, box_cox: bool) -> np.ndarray:
    """Lambdas of the first rows, within what large values bear."""
    from scipy import stats

    head = rows.head
    if head is None:
        raise Decline("the number of its columns is not known beforehand")
    X = head.to_numpy(np.float64) if hasattr(head, "iloc") else np.asarray(head, np.float64)
    out = np.ones(X.shape[1])
    for j, column in enumerate(X.T):
        column = column[np.isfinite(column)]
        if len(column) < 3 or (box_cox and column.min() <= 0) or column.min() == column.max():
            continue
        fit = stats.boxcox_normmax if box_cox else stats.yeojohnson_normmax
        with np.errstate(all="ignore"):
            found = float(np.squeeze(fit(column)))
        out[j] = np.clip(found, -3.0, 5.0) if np.isfinite(found) else 1.0
    return out


class _Search:
    """Newton's method for all columns at once, each within the bracket that the slopes have shown."""

    def __init__(self, lambdas: np.ndarray, fixed: np.ndarray) -> None:
        self.lambdas = np.where(fixed, 1.0, lambdas)
        self.fixed = fixed
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
        step = -slope / curvature if curvature < 0 else np.copysign(1.0, slope)
        if abs(step) <= _CLOSE * max(abs(at), 1.0):
            self.done[j] = True
            return
        there = at + np.clip(step, -2.0, 2.0)
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
