"""Support vector machines of libsvm: SVC, NuSVC, SVR, NuSVR and OneClassSVM.

Semantics matched: ``sklearn/svm/_base.py`` and ``_classes.py`` of scikit-learn 1.9.1; libsvm itself in
`svm_kernels` and `svm_probability`. Models fitted on sparse rows take sparse and dense rows.

Exactness: the decision values are within the bound that `svm_kernels` works out for each model (a few
units of eps times the sum of its absolute coefficients). Everything after them is the same function in
the same order. A label can differ only where a decision value is that close to 0, a probability by up
to its tolerance of 0.005 only where the error of the coupling is that close to it.

Missing values: NaN and infinities are refused.

Declines: a kernel that is a Python function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame, spelled
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.svm_kernels import WHY, decision_values
from millrace.catalog.sklearn.svm_probability import MOST_CLASSES, probabilities
from millrace.catalog.translate import table_columns
from millrace.ir.build import Value
from millrace.ir.program import Column


def _columns(model: Any) -> tuple[Column, ...]:
    """The table that ``fit`` saw: a model with a Python kernel has no ``n_features_in_``."""
    return table_columns(model, model.shape_fit_[1]) or ()


@converts("sklearn.svm.SVR", "sklearn.svm.NuSVR", columns=_columns)
def support_vector_regression(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the kernel values with the support vectors, weighted and added."""
    return {"predict": vector(decision_values(model, x, context))}


@converts("sklearn.svm.OneClassSVM", columns=_columns)
def one_class(model: Any, x: Value, context: Context) -> Outputs:
    """1 where the decision value is positive, else -1."""
    decisions = decision_values(model, x, context)
    return {
        "predict": vector((decisions > np.float64(0)).where(np.int64(1), np.int64(-1))),
        "decision_function": vector(decisions),
        "score_samples": vector(decisions + np.asarray(model.offset_, np.float64)),
    }


@converts("sklearn.svm.SVC", "sklearn.svm.NuSVC", columns=_columns)
def support_vector_classification(model: Any, x: Value, context: Context) -> Outputs:
    """A decision value for each pair of classes; ``predict`` counts their votes.

    Probabilities are native for up to 8 classes; a model of more classes that has them falls back.
    """
    n_classes, has_proba = len(model.classes_), _has_probabilities(model)
    if has_proba and n_classes > MOST_CLASSES:
        raise Decline(f"it couples the probabilities of {n_classes} classes in a loop")
    table = labels(model.classes_)
    steepest = float(np.abs(model._probA).max()) if has_proba else 0.0
    pairs = decision_values(model, x, context, growth=max(1.0, 4 * n_classes * steepest))
    outputs: dict[str, Value | Result] = {}
    ovr = model.decision_function_shape == "ovr" and n_classes > 2
    decisions = _one_versus_rest(pairs, n_classes) if ovr else pairs
    if n_classes == 2:
        outputs["decision_function"] = vector(-pairs)
    else:
        outputs["decision_function"] = decisions
    if ovr or not model.break_ties:  # break_ties with ovo: the source's predict always raises
        votes = decisions if model.break_ties and ovr else _votes(pairs, n_classes)
        outputs["predict"] = vector(votes.reduce("argmax").gather(table))
    if has_proba:
        outputs["predict_proba"] = probabilities(model, pairs)
        outputs["predict_log_proba"] = outputs["predict_proba"].apply("log")
    return outputs


def _has_probabilities(model: Any) -> bool:
    return hasattr(model, "predict_proba") and model._probA.size > 0


def _ballots(won_by_second: Value, n_classes: int) -> Value:
    """Votes for each class, the first of a pair winning wherever the second does not."""
    pairs = list(combinations(range(n_classes), 2))
    transfer = np.zeros((len(pairs), n_classes))
    for position, (i, j) in enumerate(pairs):
        transfer[position, [i, j]] = -1, 1
    first = np.bincount([i for i, _ in pairs], minlength=n_classes).astype(np.float64)
    return won_by_second.cast("float64") @ transfer + first


def _votes(pairs: Value, n_classes: int) -> Value:
    """The votes of ``svm_predict_values``: the first class of a pair wins where the value is positive."""
    lost = (pairs > np.float64(0)).equals(np.bool_(False))
    return _ballots(lost, n_classes)


def _one_versus_rest(pairs: Value, n_classes: int) -> Value:
    """``_ovr_decision_function``: votes, and within a third of one the summed confidences."""
    members = list(combinations(range(n_classes), 2))
    terms: list[Value] = []
    for term in range(n_classes - 1):
        own = [[(k, m) for k, m in enumerate(members) if c in m][term] for c in range(n_classes)]
        sign = np.array([1.0 if m[0] == c else -1.0 for c, (_, m) in enumerate(own)])
        terms.append(pairs.take([k for k, _ in own]) * sign)
    sums = terms[0] + np.float64(0)
    for part in terms[1:]:
        sums = sums + part
    squeezed = sums / ((sums.apply("absolute") + np.float64(1)) * np.float64(3))
    return _ballots(pairs < np.float64(0), n_classes) + squeezed


# -- examples ------------------------------------------------------------------------------


def _rows(n: int = 90) -> Any:
    return np.random.default_rng(0).normal(0, 1, (n, 4)).round(2)


def _fitted(name: str, words: Any = None, kind: str = "float64", **params: Any) -> tuple[Any, Any]:
    """A model on plain, named, narrow, sparse or precomputed rows; `words` are its classes."""
    import sklearn.svm

    X: Any = _rows()
    score = (
        np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * np.random.default_rng(1).normal(0, 1, len(X))
    )
    y = score
    if name == "OneClassSVM":
        X = X + 2
    if words is not None:
        rank = np.argsort(np.argsort(score)) * len(words) // len(X)
        y = np.asarray(words)[rank]
    if kind == "float32":
        X = X.astype(np.float32)
    elif kind == "named":
        X = as_frame(X)
    elif kind == "sparse":
        X = as_csr(X, 0.51)
    elif kind == "precomputed":
        X = X @ X.T + 1
        params = {"kernel": "precomputed"} | params
    return getattr(sklearn.svm, name)(**params).fit(X, y), X


_THREE = ["b", "a", "c"]

_CASES: list[tuple[str, Any, str, Mapping[str, Any]]] = [
    ("SVC", [0, 1], "float64", {}),
    ("SVC", ["no", "yes"], "named", {"kernel": "linear"}),
    ("SVC", _THREE, "float32", {"kernel": "poly", "degree": 5, "coef0": 0.5}),
    ("SVC", _THREE, "float64", {"decision_function_shape": "ovo", "gamma": 0.3}),
    ("SVC", [3, 1, 2, 9], "float64", {"break_ties": True, "kernel": "sigmoid", "gamma": 0.1}),
    ("SVC", [0, 1], "float64", {"kernel": "poly", "degree": 0}),
    ("SVC", _THREE, "precomputed", {}),
    ("SVC", _THREE, "sparse", {}),
    ("SVC", [0, 1], "sparse", {"kernel": "linear"}),
    ("SVC", [0, 1], "float64", {"probability": True, "random_state": 0}),
    ("SVC", [2, 0, 1, 5], "float64", {"probability": True, "random_state": 0}),
    ("NuSVC", _THREE, "float64", {"nu": 0.2, "break_ties": True}),
    ("NuSVC", ["no", "yes"], "sparse", {"probability": True, "random_state": 0}),
    ("NuSVC", _THREE, "float64", {"break_ties": True, "decision_function_shape": "ovo"}),
    ("SVR", None, "float64", {}),
    ("SVR", None, "named", {"kernel": "linear"}),
    ("SVR", None, "float32", {"kernel": "poly", "degree": 2}),
    ("SVR", None, "sparse", {"kernel": "sigmoid", "gamma": 0.05}),
    ("SVR", None, "precomputed", {}),
    ("NuSVR", None, "float64", {"gamma": "auto", "nu": 0.3}),
    ("OneClassSVM", None, "float64", {"nu": 0.2}),
    ("OneClassSVM", None, "float32", {"kernel": "linear", "nu": 0.5}),
    ("OneClassSVM", None, "sparse", {"nu": 0.2}),
]


def _python_kernel() -> tuple[Any, Any]:
    from sklearn.metrics.pairwise import laplacian_kernel

    return _fitted("SVC", [0, 1], kernel=laplacian_kernel)


def examples() -> Iterator[Example]:
    """Every class, kernel and form of answer, on plain, named, float32, sparse and precomputed rows."""
    for name, words, kind, params in _CASES:
        count = "" if words is None else f" {len(words)} classes"
        options = spelled(params, " ")
        yield Example(
            f"{name}{count} {kind}{options}",
            partial(_fitted, name, words, kind, **params),
            ulp=1 << 16,
            absolute=1e-8 if "probability" in params else 1e-11,
            why=WHY,
        )
    yield Example("SVC with a Python function", _python_kernel, native=False)
