"""Linear and quadratic discriminant analysis, from the scatter within the classes: one sweep.

Singular values of the rows of a class are those of a root of its scatter. Directions whose variance is
below 1e-14 of the largest are rounding; scikit-learn's ``tol`` leaves out all below 1e-8 (1e-4 as a
singular value). The signs of the columns of ``scalings_`` (linear, solver ``svd``) and ``rotations_``
(quadratic) are arbitrary in scikit-learn; here the largest entry of a column is positive.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made
from millrace.solvers.sklearn.equivalent import in_dtype, root_of
from millrace.statistics.class_moments import ByClass, ClassScatter

Steps = Generator[Ask, Any, dict[str, Any]]


def _checked(estimator: Any, found: ByClass) -> None:
    """Refuse what the source refuses of both."""
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(found.classes)
    if found.sparse:
        raise Decline("it takes no sparse rows")
    if estimator.solver == "svd" and estimator.shrinkage is not None:
        raise NotImplementedError("shrinkage not supported with 'svd' solver.")


def _ask(estimator: Any, rows: Rows, pooled: bool) -> Ask:
    if estimator.covariance_estimator is not None:
        raise Decline("covariance_estimator is fitted on the rows themselves")
    if estimator.shrinkage == "auto":
        raise Decline("shrinkage='auto' needs fourth moments (pass a number)")
    return rows.ask(ClassScatter(pooled=pooled, who=type(estimator).__name__))


def _shrunk(covariance: np.ndarray, shrinkage: float | None) -> np.ndarray:
    """Towards the mean variance, as ``sklearn.covariance.shrunk_covariance``."""
    if shrinkage is None:
        return covariance
    mean = np.trace(covariance) / len(covariance)
    return (1.0 - shrinkage) * covariance + shrinkage * mean * np.eye(len(covariance))


def _has_signs(estimator: Any, shape: tuple[int, int]) -> bool:
    """Whether axes are fitted, whose signs are arbitrary in the source."""
    return estimator.solver != "lsqr"


@solves("sklearn.discriminant_analysis.LinearDiscriminantAnalysis", equivalent=_has_signs)
def linear_discriminant(estimator: Any, rows: Rows) -> Steps:
    """Exact to 1e-8 of the coefficients for covariances that are well conditioned."""
    from sklearn.utils.multiclass import unique_labels

    estimator._validate_params()
    found: ByClass = yield _ask(estimator, rows, pooled=estimator.priors is None)
    _checked(estimator, found)
    n_classes, p = found.mean.shape
    n_samples = int(found.counts.sum())
    if n_samples == n_classes:
        raise ValueError("The number of samples must be more than the number of classes.")
    priors = _linear_priors(estimator, found)
    most = min(n_classes - 1, p)
    if estimator.n_components is not None:
        if estimator.n_components > most:
            raise ValueError("n_components cannot be larger than min(n_features, n_classes - 1).")
        most = estimator.n_components
    if found.pooled:
        covariance = found.second / n_samples
    else:
        covariance = np.tensordot(priors / found.counts, found.second, axes=1)
    solve = {"svd": _by_svd, "lsqr": _by_least_squares, "eigen": _by_eigen}[estimator.solver]
    solved = solve(estimator, found, priors, covariance, most)
    coef, intercept = solved.pop("coef_"), solved.pop("intercept_")
    if n_classes == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    attributes = {"priors_": priors, "means_": found.mean}
    own = {**solved, "coef_": coef, "intercept_": intercept}
    if estimator.solver == "svd":
        kept = {n: own.pop(n) for n in ("covariance_",) if n in own}
        own = {**in_dtype(own, found.dtype), **kept}
    elif n_classes == 2:
        own |= in_dtype({"coef_": coef, "intercept_": intercept}, found.dtype)
    return {
        "classes_": unique_labels(found.classes),
        **in_dtype(attributes, found.dtype),
        **own,
        "_max_components": most,
        "_n_features_out": most,
    }


def _linear_priors(estimator: Any, found: ByClass) -> np.ndarray:
    if estimator.priors is None:
        return found.counts / float(found.counts.sum())
    priors = np.asarray(estimator.priors, np.float64)
    if (priors < 0).any():
        raise ValueError("priors must be non-negative")
    if abs(priors.sum() - 1.0) > 1e-5:
        warnings.warn("The priors do not sum to 1. Renormalizing", UserWarning, stacklevel=2)
        priors = priors / priors.sum()
    return priors


def _by_least_squares(
    estimator: Any, found: ByClass, priors: np.ndarray, covariance: np.ndarray, most: int
) -> dict[str, Any]:
    from scipy.linalg import lstsq

    shrunk = _shrunk(covariance, estimator.shrinkage)
    solved: Any = lstsq(shrunk, found.mean.T)
    coef = solved[0].T
    return {"covariance_": shrunk, "coef_": coef, "intercept_": _offsets(found, coef, priors)}


def _offsets(found: ByClass, coef: np.ndarray, priors: np.ndarray) -> np.ndarray:
    return -0.5 * np.einsum("kj,kj->k", found.mean, coef) + np.log(priors)


def _by_eigen(
    estimator: Any, found: ByClass, priors: np.ndarray, covariance: np.ndarray, most: int
) -> dict[str, Any]:
    from scipy.linalg import eigh

    within = _shrunk(covariance, estimator.shrinkage)
    total = _shrunk(found.of_all() / found.counts.sum(), estimator.shrinkage)
    solved: Any = eigh(total - within, within)
    values, vectors = solved
    order = np.argsort(values)[::-1]
    vectors = vectors[:, order]
    coef = found.mean @ vectors @ vectors.T
    return {
        "covariance_": within,
        "explained_variance_ratio_": np.sort(values / values.sum())[::-1][:most],
        "scalings_": vectors,
        "coef_": coef,
        "intercept_": _offsets(found, coef, priors),
    }


def _by_svd(
    estimator: Any, found: ByClass, priors: np.ndarray, covariance: np.ndarray, most: int
) -> dict[str, Any]:
    n_samples = found.counts.sum()
    n_classes = len(priors)
    within = found.second if found.pooled else found.second.sum(axis=0)
    spread = np.sqrt(np.diag(within) / n_samples)
    spread[spread == 0] = 1.0
    _, values, right = np.linalg.svd(root_of(within) / np.sqrt(n_samples) / spread)
    rank = int((values > estimator.tol).sum())
    scalings = (right[:rank] / spread).T / values[:rank]
    centre = priors @ found.mean
    factor = 1.0 if n_classes == 1 else 1.0 / (n_classes - 1)
    apart = found.mean - centre
    between = np.sqrt(n_samples * priors * factor)[:, None] * apart @ scalings
    _, values, right = np.linalg.svd(between, full_matrices=False)
    ratio = values**2 / (values**2).sum() if most else np.empty(1)
    rank = int((values > estimator.tol * values[0]).sum())
    scalings = _upright(scalings @ right.T[:, :rank])
    coef = apart @ scalings
    intercept = -0.5 * (coef**2).sum(axis=1) + np.log(priors)
    coef = coef @ scalings.T
    solved = {
        "xbar_": centre,
        "explained_variance_ratio_": ratio[:most],
        "scalings_": scalings,
        "coef_": coef,
        "intercept_": intercept - centre @ coef.T,
    }
    return {**solved, "covariance_": covariance} if estimator.store_covariance else solved


def _upright(columns: np.ndarray) -> np.ndarray:
    """Columns with the sign that makes their largest entry positive."""
    largest = np.abs(columns).argmax(axis=0)
    return columns * np.where(columns[largest, np.arange(columns.shape[1])] < 0, -1.0, 1.0)


@solves("sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis", equivalent=True)
def quadratic_discriminant(estimator: Any, rows: Rows) -> Steps:
    """Exact to 1e-8 of the log-odds for covariances that are well conditioned."""
    estimator._validate_params()
    found: ByClass = yield _ask(estimator, rows, pooled=False)
    _checked(estimator, found)
    n_classes = len(found.classes)
    if n_classes < 2:
        raise ValueError(
            f"The number of classes has to be greater than one. Got {n_classes} class."
        )
    scalings: list[np.ndarray] = []
    rotations: list[np.ndarray] = []
    covariances: list[np.ndarray] = []
    for k, label in enumerate(found.classes):
        if found.counts[k] == 1:
            raise ValueError(f"y has only 1 sample in class {label!s}, covariance is ill defined.")
        values, vectors, covariance = _class_axes(estimator, found, k)
        _check_rank(estimator, found, k, int((values > estimator.tol).sum()))
        scalings.append(values)
        rotations.append(vectors)
        covariances.append(covariance)
    priors = found.counts / float(found.counts.sum())
    if estimator.priors is not None:
        priors = np.array(estimator.priors)
    stored = {"covariance_": covariances} if estimator.store_covariance else {}
    axes = {"scalings_": scalings, "rotations_": rotations, **stored}
    if estimator.solver == "svd":
        axes = in_dtype(axes, found.dtype)
    means = found.mean.astype(found.dtype)
    return {"classes_": found.classes, "priors_": priors, "means_": means, **axes}


def _class_axes(
    estimator: Any, found: ByClass, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances along the principal axes of a class, the axes, and its covariance."""
    covariance = _shrunk(found.second[k] / found.counts[k], estimator.shrinkage)
    if estimator.solver == "eigen":
        values, vectors = np.linalg.eigh(covariance)
        return values[::-1], _upright(vectors[:, ::-1]), covariance
    _, roots, right = np.linalg.svd(root_of(covariance))
    least = min(int(found.counts[k]), len(covariance))
    values = (1 - estimator.reg_param) * roots[:least] ** 2 + estimator.reg_param
    vectors = _upright(right[:least].T)
    return values, vectors, (vectors * values) @ vectors.T


def _check_rank(estimator: Any, found: ByClass, k: int, rank: int) -> None:
    p = found.mean.shape[1]
    if rank >= p:
        return
    label, n = found.classes[k], found.counts[k]
    if estimator.solver == "svd" and n <= p:
        raise np.linalg.LinAlgError(
            f"The covariance matrix of class {label} is not full rank. When using `solver='svd'` "
            "the number of samples in each class should be more than the number of features, but "
            f"class {label} has {n} samples and {p} features. Try using `solver='eigen'` and "
            "setting the parameter `shrinkage` for regularization."
        )
    remedy = "shrinkage" if estimator.solver == "eigen" else "reg_param"
    raise np.linalg.LinAlgError(
        f"The covariance matrix of class {label} is not full rank. Increase the value of "
        f"`{remedy}` to reduce the collinearity."
    )


def _data(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(70)
    y = rng.integers(0, n_classes, 240)
    X = rng.normal(size=(240, 4)) @ (np.eye(4) + 0.4 * rng.normal(size=(4, 4)))
    return X + y[:, None] * [1.0, 0.5, -0.5, 0.2] + 30.0, np.array(list("abcd"), object)[y]


def _confidence(estimator: Any, X: Any, y: Any) -> float:
    """Mean logarithm of the probability given to the true class."""
    at = np.searchsorted(estimator.classes_, y)
    return float(estimator.predict_log_proba(X)[np.arange(len(y)), at].mean())


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer.

    The signs of some axes are arbitrary in the source, and the solver ``lsqr`` has no ``transform``:
    there the probabilities are compared.
    """
    from sklearn.discriminant_analysis import (
        LinearDiscriminantAnalysis,
        QuadraticDiscriminantAnalysis,
    )

    for n in (2, 3):

        def data(n: int = n) -> Any:
            return _data(n)

        name = f"{n} classes"
        linear = made(
            LinearDiscriminantAnalysis, data, name, quality=_confidence, quality_slack=1e-9
        )
        yield linear()
        yield linear(store_covariance=True, n_components=1)
        yield linear(solver="lsqr")
        yield linear(solver="lsqr", shrinkage=0.3, priors=[1.0 / n] * n)
        upright = made(LinearDiscriminantAnalysis, data, name, ignore=("scalings_",))
        yield upright(solver="eigen")
        yield upright(solver="eigen", shrinkage=0.2)
        quadratic = made(QuadraticDiscriminantAnalysis, data, name, ignore=("rotations_",))
        yield quadratic()
        yield quadratic(reg_param=0.2, store_covariance=True)
        yield quadratic(solver="eigen", shrinkage=0.1, priors=[1.0 / n] * n)
