"""Support vector machines with kernels: SVC, NuSVC, SVR, NuSVR and OneClassSVM.

Semantics matched: ``sklearn/svm/_base.py``, ``_libsvm.pyx`` and ``src/libsvm/svm.cpp`` of scikit-learn
1.9.1. The dual problems are built as there and solved by libsvm's own iteration on faster kernel rows
(`_smo`), so the support vectors, their coefficients and the number of iterations are libsvm's too.

Exactness: the same bits where no kernel value is rounded differently (see `_smo`), which is the rule.
Where one is, two pairs that violate the conditions equally may change places. Then the result is another
one that meets libsvm's stopping rule, as libsvm's own result is when the columns change places.

Declines: sparse rows, kernels that are matrices or functions, probabilities (they use libsvm's random
numbers), weights that are not positive, rows so far from zero that the bits above are many, and whatever
libsvm refuses.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.solvers.registry import Decline, Example, resident
from millrace.solvers.resident._smo import Kernel, Problem, Solution, solve

_FARTHEST = 1e3
"""``gamma |x|^2`` up to which few values of the radial basis function are rounded differently: the
exponent ``gamma (|x|^2 + |z|^2 - 2 x z)`` has an error of that times 2^-52, where float32 keeps 2^-24."""


@dataclass(frozen=True)
class _Setting:
    """What all problems of one fit share.

    Attributes
    ----------
    X : float64 (n_samples, n_features)
    weight : float64 (n_samples,)
    params : the estimator, with its parameters
    """

    X: np.ndarray
    weight: np.ndarray
    params: Any
    kernel: Kernel

    def problem(self, rows: Any, y: Any, p: Any, C: Any, start: Any, paired: bool) -> Problem:
        """A problem on some of the rows."""
        params = self.params
        return Problem(
            self.X[rows], y, p, C, start, self.kernel, paired, float(params.tol),
            bool(params.shrinking), int(params.max_iter), int(params.cache_size * (1 << 20)),
        )  # fmt: skip


@resident("sklearn.svm.SVC", weight=True)
def svc(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """One problem for every pair of classes, whose bounds are C times the weights of class and row."""
    setting, checked = _setting(estimator, X, y, sample_weight)
    by_class = checked.class_weight_
    if not (by_class > 0).all():
        raise Decline("a class has no positive weight")

    def one(rows: np.ndarray, sign: np.ndarray, i: int, j: int) -> tuple[np.ndarray, Solution]:
        C = np.where(sign > 0, estimator.C * by_class[i], estimator.C * by_class[j])
        C = setting.weight[rows] * C
        zeros = np.zeros(len(rows))
        solution = solve(setting.problem(rows, sign, zeros - 1, C, zeros, False))
        return solution.alpha * sign, solution

    return _classifier(setting, checked, one)


@resident("sklearn.svm.NuSVC", weight=True)
def nu_svc(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """As `svc`, with the sum of the coefficients of each class given by nu."""
    setting, checked = _setting(estimator, X, y, sample_weight)
    codes = checked.targets.astype(np.int64)
    if not _nu_is_feasible(estimator.nu, np.bincount(codes, setting.weight)):
        raise Decline("nu is infeasible")

    def one(rows: np.ndarray, sign: np.ndarray, i: int, j: int) -> tuple[np.ndarray, Solution]:
        C = setting.weight[rows]
        half, start = _sum_in_order(estimator.nu * C) / 2, np.zeros(len(rows))
        for side in (sign > 0, sign < 0):
            start[side] = _poured(C[side], half)
        solution = solve(setting.problem(rows, sign, 0 * start, C, start, True))
        r = solution.r
        scaled = Solution(solution.alpha * (sign / r), solution.rho / r, r, solution.n_iter,
                          solution.timed_out)  # fmt: skip
        return scaled.alpha, scaled

    return _classifier(setting, checked, one)


@resident("sklearn.svm.SVR", weight=True)
def svr(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Two variables a row, above and below the tube of ``epsilon``."""
    setting, checked = _setting(estimator, X, y, sample_weight)
    target = checked.targets
    C = setting.weight * estimator.C
    p = np.concatenate([estimator.epsilon - target, estimator.epsilon + target])
    return _regressor(setting, p, C, np.zeros(len(target)), False)


@resident("sklearn.svm.NuSVR", weight=True)
def nu_svr(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """As `svr`, with the sum of the coefficients given by nu in place of ``epsilon``."""
    setting, checked = _setting(estimator, X, y, sample_weight)
    target = checked.targets
    C = setting.weight * estimator.C
    start = _poured(C, _sum_in_order(C * estimator.nu) / 2)
    return _regressor(setting, np.concatenate([-target, target]), C, start, True)


@resident("sklearn.svm.OneClassSVM", weight=True)
def one_class(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """All labels are 1; the sum of the coefficients is nu times that of the weights."""
    setting, _ = _setting(estimator, X, np.ones(X.shape[0]), sample_weight)
    C, n = setting.weight, len(setting.X)
    start = _poured(C, _sum_in_order(C * estimator.nu))
    solution = solve(setting.problem(slice(None), np.ones(n), np.zeros(n), C, start, False))
    found = _single(setting, solution.alpha, solution)
    return {**found, "offset_": -found["_intercept_"]}


# -- what goes in --------------------------------------------------------------------------


def _setting(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[_Setting, Any]:
    """The shared setting, and a copy of the estimator that holds what ``_validate_targets`` learns."""
    estimator._validate_params()
    _check_parameters(estimator)
    if sp.issparse(X):
        raise Decline("the rows are sparse")
    _check_data(X, y)
    X = np.ascontiguousarray(X, np.float64)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight.shape != (len(X),) or not ((weight > 0) & np.isfinite(weight)).all():
        raise Decline("some weights are not positive")
    checked = copy.copy(estimator)
    checked.targets = checked._validate_targets(y)
    gamma = _gamma(estimator.gamma, X)
    if estimator.kernel == "rbf" and gamma * np.einsum("ij,ij->i", X, X).max() > _FARTHEST:
        raise Decline("its rows are so far from zero that rounding decides between pairs")
    kernel = Kernel(estimator.kernel, float(gamma), float(estimator.coef0), int(estimator.degree))
    setting = copy.copy(estimator)
    setting._gamma = gamma
    return _Setting(X, weight, setting, kernel), checked


def _check_parameters(estimator: Any) -> None:
    if estimator.kernel not in ("linear", "poly", "rbf", "sigmoid"):
        raise Decline("its kernel is a matrix or a function")
    if estimator.probability != ("deprecated" if hasattr(estimator, "break_ties") else False):
        raise Decline("probabilities use libsvm's random numbers")
    if estimator.verbose:
        raise Decline("libsvm says what it does")
    if not np.isfinite(getattr(estimator, "C", 1.0)):
        raise Decline("C is infinite")


def _check_data(X: np.ndarray, y: Any) -> None:
    if min(X.shape) == 0 or y is None or np.ndim(y) != 1 or len(y) != len(X):
        raise Decline("there is nothing to fit")
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    if not np.isfinite(squares).all():
        raise Decline("some cells are missing or too large")
    if y.dtype.kind == "c" or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        raise Decline("some targets are missing or infinite")
    if y.dtype == object and not all(isinstance(v, str) for v in y):
        raise Decline("the targets are objects of several kinds")


def _gamma(gamma: Any, X: np.ndarray) -> Any:
    """The gamma that ``BaseLibSVM.fit`` gives to libsvm."""
    if gamma == "scale":
        variance = X.var()
        return 1.0 / (X.shape[1] * variance) if variance != 0 else 1.0
    return 1.0 / X.shape[1] if gamma == "auto" else gamma


def _nu_is_feasible(nu: float, by_class: np.ndarray) -> bool:
    """``svm_check_parameter``: no pair of classes is too uneven for nu."""
    return all(nu * (a + b) / 2 <= min(a, b) for a, b in combinations(by_class.tolist(), 2))


def _sum_in_order(terms: np.ndarray) -> float:
    """The sum, term after term, as C adds it up."""
    return float(np.add.accumulate(terms)[-1])


def _poured(C: np.ndarray, total: float) -> np.ndarray:
    """A start with this sum: one variable after the other to its bound, until nothing is left."""
    start = np.zeros(len(C))
    for i, bound in enumerate(C.tolist()):
        if total <= 0:
            break
        start[i] = min(bound, total)
        total -= start[i]
    return start


# -- what comes out ------------------------------------------------------------------------


def _classifier(setting: _Setting, checked: Any, one: Any) -> dict[str, Any]:
    """All pairs of classes, put together as ``svm_train`` does."""
    codes = checked.targets.astype(np.int64)
    k = len(checked.classes_)
    of_class = [np.flatnonzero(codes == c) for c in range(k)]
    pairs: list[tuple[np.ndarray, Solution]] = []
    used = np.zeros(len(codes), bool)
    for i, j in combinations(range(k), 2):
        rows = np.concatenate([of_class[i], of_class[j]])
        sign = np.repeat([1.0, -1.0], [len(of_class[i]), len(of_class[j])])
        alpha, solution = one(rows, sign, i, j)
        whole = np.zeros(len(codes))
        whole[rows] = alpha
        used |= whole != 0
        pairs.append((whole, solution))
    support = np.concatenate([rows[used[rows]] for rows in of_class])
    owner = codes[support]
    coef = np.zeros((k - 1, len(support)))
    for (i, j), (whole, _) in zip(combinations(range(k), 2), pairs, strict=True):
        coef[j - 1, owner == i] = whole[support[owner == i]]
        coef[i, owner == j] = whole[support[owner == j]]
    solutions = [solution for _, solution in pairs]
    counts = np.bincount(owner, minlength=k)
    found = _attributes(setting, support, coef, counts, solutions)
    flip = -1 if k == 2 else 1
    return {
        **found,
        "classes_": checked.classes_,
        "class_weight_": checked.class_weight_,
        "dual_coef_": -coef if k == 2 else coef,
        "intercept_": found["_intercept_"] * flip,
        "n_iter_": found["_num_iter"],
    }


def _regressor(
    setting: _Setting, p: np.ndarray, C: np.ndarray, start: np.ndarray, paired: bool
) -> dict[str, Any]:
    n = len(C)
    solution = solve(
        setting.problem(
            slice(None), np.repeat([1.0, -1.0], n), p, np.tile(C, 2), np.tile(start, 2), paired
        )
    )
    return _single(setting, solution.alpha[:n] - solution.alpha[n:], solution)


def _single(setting: _Setting, alpha: np.ndarray, solution: Solution) -> dict[str, Any]:
    """The attributes of one problem that is not one of classes."""
    support = np.flatnonzero(alpha)
    counts = np.array([len(support)] * 2)
    found = _attributes(setting, support, alpha[None, support], counts, [solution])
    return {
        **found,
        "dual_coef_": found["_dual_coef_"],
        "intercept_": found["_intercept_"].copy(),
        "n_iter_": found["_num_iter"].item(),
    }


def _attributes(
    setting: _Setting, support: np.ndarray, coef: np.ndarray, counts: np.ndarray,
    solutions: list[Solution],
) -> dict[str, Any]:  # fmt: skip
    """What all machines have, in scikit-learn's dtypes."""
    intercept = np.array([-s.rho for s in solutions])
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise Decline("the dual coefficients are not finite")
    timed_out = any(s.timed_out for s in solutions)
    params = setting.params
    params.fit_status_ = int(timed_out)
    params._warn_from_fit_status()
    if hasattr(params, "random_state"):
        from sklearn.utils import check_random_state

        # scikit-learn draws a seed, which moves the generator of the user's other draws.
        check_random_state(params.random_state).randint(np.iinfo("i").max)
    return {
        "_sparse": False,
        "_effective_probability": False,
        "_gamma": params._gamma,
        "support_": support.astype(np.int32),
        "support_vectors_": setting.X[support],
        "_n_support": counts.astype(np.int32),
        "_probA": np.empty(0),
        "_probB": np.empty(0),
        "fit_status_": int(timed_out),
        "_num_iter": np.array([s.n_iter for s in solutions], np.intc),
        "shape_fit_": setting.X.shape,
        "_intercept_": intercept,
        "_dual_coef_": coef,
    }


# -- examples ------------------------------------------------------------------------------


def examples() -> Iterator[Example]:
    """Every machine and kernel, two classes and three, on rows that shrinking takes apart."""
    for kernel in ("rbf", "linear", "poly", "sigmoid"):
        yield _example("SVC", "three", kernel=kernel)
        yield _example("SVR", "number", kernel=kernel, C=0.5)
    yield _example("SVC", "two", C=20.0, gamma="auto", class_weight="balanced")
    yield _example("SVC", "three", decision_function_shape="ovo", shrinking=False)
    yield _example("SVC", "three", break_ties=True, max_iter=20)
    yield _example("NuSVC", "two", nu=0.3)
    yield _example("NuSVC", "three", nu=0.2, kernel="linear")
    yield _example("NuSVR", "number", nu=0.4, C=3.0)
    yield _example("OneClassSVM", "none", nu=0.3)


def _example(name: str, target: str, **params: Any) -> Example:
    def make() -> tuple[Any, Any, Any]:
        import sklearn.svm

        rng = np.random.default_rng(0)
        X = rng.normal(size=(180, 4))
        score = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * rng.normal(size=len(X))
        rank = np.argsort(np.argsort(score))
        targets = {
            "number": score,
            "two": np.array(["no", "yes"])[rank * 2 // len(X)],
            "three": rank * 3 // len(X),
            "none": None,
        }
        return getattr(sklearn.svm, name)(**params), X, targets[target]

    spelled = ", ".join(f"{k}={v!r}" for k, v in {"y": target, **params}.items())
    return Example(f"{name}({spelled})", make, rtol=1e-12, atol=1e-12, weight=True)
