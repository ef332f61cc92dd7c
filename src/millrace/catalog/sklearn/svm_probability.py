"""Probabilities of libsvm: a sigmoid for each pair of classes, coupled into one distribution.

Semantics matched: ``sigmoid_predict``, ``multiclass_probability`` and ``svm_predict_probability`` in
``sklearn/svm/src/libsvm/svm.cpp`` of scikit-learn 1.9.1: method 2 of Wu, Lin and Weng, "Probability
Estimates for Multi-class Classification by Pairwise Coupling" (JMLR 5, 2004).

The coupling sweeps over the classes until its error is below ``0.005 / n_classes``. A program has no
loop: the sweeps are written out, and rows that are done stand still. On a million matrices of pairwise
probabilities, those at the clipping bounds included, two classes needed 2 sweeps and up to ten classes 4
at most; a row that needed more than are written out would be refused, not answered wrongly.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from millrace.ir.build import Value

MOST_CLASSES = 8
"""For more classes the sweeps, written out, are too long a program."""

_LOWEST = 1e-7


def probabilities(model: Any, decisions: Value) -> Value:
    """Class probabilities from the decision values of all pairs: (n_samples, n_classes)."""
    pairwise = _pairwise(decisions, model._probA, model._probB)
    k = len(model.classes_)
    q = _quadratic_form(pairwise, k)
    p = pairwise.column(0) * np.float64(0) + np.full(k, 1.0 / k)
    for _ in range(3 if k == 2 else 6):
        p = _sweep(q, p)
    _, _, active = _state(q, p)
    return p.require(
        active.equals(np.bool_(False)),
        type(model).__name__,
        "its class probabilities do not converge",
    )


def _pairwise(decisions: Value, a: Any, b: Any) -> Value:
    """``sigmoid_predict`` of each pair, clipped."""
    f = decisions * a + b
    falling, rising = (-f).apply("exp"), f.apply("exp")
    one = np.float64(1)
    low = falling / (falling + one)
    high = f.builder.constant(one) / (rising + one)
    p = (f >= np.float64(0)).where(low, high)
    lowest, highest = np.float64(_LOWEST), np.float64(1 - _LOWEST)
    p = (p > lowest).where(p, lowest)
    return (p < highest).where(p, highest)


def _quadratic_form(pairwise: Value, k: int) -> list[Value]:
    """The rows of the matrix Q, each (n_samples, n_classes)."""
    against = pairwise.builder.constant(np.float64(1)) - pairwise
    r: dict[tuple[int, int], Value] = {}
    for position, (i, j) in enumerate(combinations(range(k), 2)):
        r[i, j], r[j, i] = pairwise.column(position), against.column(position)
    cells: dict[tuple[int, int], Value] = {}
    for t in range(k):
        squares = [r[j, t] * r[j, t] for j in range(k) if j != t]
        diagonal = squares[0]
        for square in squares[1:]:
            diagonal = diagonal + square
        cells[t, t] = diagonal
        for j in range(t + 1, k):
            cells[t, j] = cells[j, t] = (-r[j, t]) * r[t, j]
    return [pairwise.builder.concat([cells[t, j] for j in range(k)]) for t in range(k)]


def _state(q: list[Value], p: Value) -> tuple[Value, Value, Value]:
    """``Q p``, ``p Q p`` and whether the row is still to be moved."""
    k = len(q)
    qp = q[0] * p.column(0)
    for j in range(1, k):
        qp = qp + q[j] * p.column(j)
    pqp = (p * qp).accumulate("add").column(k - 1)
    error = (qp - pqp).apply("absolute").reduce("max")
    return qp, pqp, error >= np.float64(0.005 / k)


def _sweep(q: list[Value], p: Value) -> Value:
    """One sweep over the classes; rows that are done get steps of zero, which change no bit."""
    one, two = np.float64(1), np.float64(2)
    qp, pqp, active = _state(q, p)
    for t, row in enumerate(q):
        own, qp_t = row.column(t), qp.column(t)
        step = active.where((pqp - qp_t) / own, np.float64(0))
        total = step + one
        p = (p + step * np.eye(len(q))[t]) / total
        pqp = (pqp + step * (step * own + qp_t * two)) / total / total
        qp = (qp + step * row) / total
    return p
