"""Decision values of libsvm: kernels with the support vectors, and what each pair of classes sums up.

Semantics matched: ``k_function`` and ``svm_predict_values`` in ``sklearn/svm/src/libsvm/svm.cpp`` of
scikit-learn 1.9.1. All of libsvm is float64, whatever the dtype of the rows.

Exactness: libsvm leaves each kernel value to a BLAS dot product, which does not fix the order of
additions, and adds up the kernel values of the support vectors one by one; here both are matrix
products, and a linear kernel is one product with the sums of the support vectors. `decision_bound` says
how far the sums may be apart. A precomputed kernel is added up one by one, to the same bits.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Context, Decline, SparseValue
from millrace.catalog.sklearn._pairwise import euclidean_distances
from millrace.ir.arrays import Array, dense_array
from millrace.ir.build import Value
from millrace.ir.ops import Distances

Floats = npt.NDArray[np.float64]

FAR_ULP = 1 << 16
"""Units in the last place for rows far outside the range of the support vectors, where sums cancel."""

WHY = "BLAS does not fix the order in which a kernel value and the sum over support vectors add up"


def decision_values(model: Any, x: Value, context: Context, growth: float = 1.0) -> Value:
    """The sums of ``svm_predict_values``: one column, or one for each pair of classes.

    Parameters
    ----------
    model : a fitted libsvm estimator
    x : Value
    context : Context
        Told the bound of the sums.
    growth : float
        How much faster than the sums an output of the model moves.
    """
    rows = _checked(model, x)
    vectors, weights = _dense(model.support_vectors_), _weights(model)
    if not len(weights):
        raise Decline("it has no support vectors")
    slack, far = 0.0, FAR_ULP
    if model.kernel == "precomputed":
        return _added(rows.take(model.support_), weights) + np.asarray(
            model._intercept_, np.float64
        )
    if model.kernel == "linear":
        sums = rows @ (vectors.T @ weights)
        far = _linear_ulp(vectors, weights)
    elif model.kernel == "rbf" and rows.is_sparse:
        distances = euclidean_distances(rows, vectors, squared=True)
        sums = _rbf(distances, model) @ weights
        slack = _product_slack(model, vectors, weights)
    else:
        sums = _kernel(model, rows, vectors) @ weights
    absolute = decision_bound(model, vectors, weights) + slack
    context.bound(far, float(growth * absolute), WHY)
    return sums + np.asarray(model._intercept_, np.float64)


def _checked(model: Any, x: Value) -> Value:
    if callable(model.kernel):
        raise Decline("its kernel is a Python function")
    if isinstance(x, SparseValue) and not model._sparse:
        raise Decline("it was fitted on dense rows and refuses a sparse matrix")
    return x.cast("float64").guard(type(model).__name__)


def _dense(matrix: Any) -> Floats:
    return dense_array(matrix).astype(np.float64, copy=False)


def _weights(model: Any) -> Floats:
    """Coefficients of the support vectors (rows) in each sum (columns)."""
    coef = _dense(model._dual_coef_)
    if model._impl not in ("c_svc", "nu_svc"):
        return coef.T
    stop = np.cumsum(model._n_support)
    own = [slice(s - n, s) for s, n in zip(stop, model._n_support, strict=True)]
    pairs = list(combinations(range(len(own)), 2))
    weights = np.zeros((coef.shape[1], len(pairs)))
    for position, (i, j) in enumerate(pairs):
        weights[own[i], position] = coef[j - 1, own[i]]
        weights[own[j], position] = coef[i, own[j]]
    return weights


def _added(kernel: Value, weights: Floats) -> Value:
    """The sums one support vector after another, as libsvm adds them: a given kernel has its bits."""
    sums: list[Value] = []
    for column in weights.T:
        own = np.flatnonzero(column) if column.any() else np.array([0])
        terms = kernel.take(own) * column[own]
        sums.append(terms.accumulate("add").column(len(own) - 1))
    return kernel.builder.concat(sums)


def _kernel(model: Any, rows: Value, vectors: Floats) -> Value:
    """``k_function`` of each row with each support vector: (n_samples, n_support)."""
    if model.kernel == "rbf":
        return _rbf(rows.then(Distances(Array(vectors), "sqeuclidean")), model)
    base = (rows @ vectors.T) * np.float64(model._gamma) + np.float64(model.coef0)
    return base.apply("tanh") if model.kernel == "sigmoid" else _power(base, int(model.degree))


def _rbf(distances: Value, model: Any) -> Value:
    return (distances * np.float64(-model._gamma)).apply("exp")


def _power(base: Value, times: int) -> Value:
    """``powi`` of libsvm: squares, multiplied together from the lowest bit of the exponent up."""
    answer: Value | None = None
    while times > 0:
        if times % 2:
            answer = base if answer is None else answer * base
        base, times = base * base, times // 2
    if answer is None:
        return base.equals(base).cast("float64") * np.float64(0) + np.float64(1)
    return answer


# -- bounds --------------------------------------------------------------------------------


def decision_bound(model: Any, vectors: Floats, weights: Floats) -> float:
    """How far the sums may be apart, for rows whose cells are no larger than the support vectors'.

    Each kernel value is off by a multiple of eps that its arithmetic fixes (first order, with products
    of n cells off by ``n eps sum(abs(x * s))``), each of the sums by ``n_support eps`` times the sum of
    its absolute terms. The factor is twice that for two ways to add, twice again for higher orders.
    """
    n_support, n = weights.shape[0], vectors.shape[1] + 4
    reach = np.abs(vectors) @ np.abs(vectors).max(axis=0)
    base = abs(model._gamma) * reach + abs(model.coef0)
    size, error = {
        "linear": lambda: (reach, n * reach),
        "poly": lambda: (base**model.degree, model.degree * n * base**model.degree),
        "sigmoid": lambda: (np.ones(n_support), n * base + 2),
        "rbf": lambda: (np.ones(n_support), np.full(n_support, n)),
    }[model.kernel]()
    sums = (error + (n_support + 2) * size) @ np.abs(weights) + np.abs(model._intercept_)
    return float(4 * np.finfo(np.float64).eps * sums.max())


def _linear_ulp(vectors: Floats, weights: Floats) -> int:
    """Units in the last place for one far cell: how much cancels in its coefficient."""
    left = np.abs(vectors.T @ weights)
    terms = np.abs(vectors).T @ np.abs(weights)
    ratio = np.divide(terms, left, out=np.ones_like(terms), where=left > 0).max(initial=1.0)
    return int(min(max(FAR_ULP, 4 * (sum(vectors.shape) + 4) * ratio), 1 << 40))


def _product_slack(model: Any, vectors: Floats, weights: Floats) -> float:
    """What squared distances by products add to the bound of an rbf kernel.

    They are off by ``c (|x| + |s|)**2``, ``c = 2 (n + 4) eps``. A row longer than twice the longest
    support vector is at ``d >= (|x| + |s|) / 3``, where ``exp(-gamma d**2)`` moves by ``9 c / e`` at
    most; for the others ``|x| + |s|`` is at most three times the longest.
    """
    c = 2 * (vectors.shape[1] + 4) * np.finfo(np.float64).eps
    longest = np.einsum("ij,ij->i", vectors, vectors).max()
    return float(9 * c * (abs(model._gamma) * longest + 1) * np.abs(weights).sum(axis=0).max())
