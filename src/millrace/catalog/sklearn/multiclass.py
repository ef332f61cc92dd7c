"""Many classes by classifiers of two: one against the rest, one against one, and output codes.

Semantics matched: ``sklearn/multiclass.py`` and ``_ovr_decision_function`` in
``sklearn/utils/multiclass.py`` of scikit-learn 1.9.1. An inner estimator says how sure it is by
``decision_function``, else by the probability of the second class, a regressor by ``predict``.

Exactness: that of the inner estimators. Row sums of probabilities are added one by one, as the source
does for more than one row (NumPy adds a single row of eight and more classes in another order). Labels
can differ only where answers that are not exact nearly tie, or where a product overflows to NaN.
Missing values: as the inner estimators take them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    converts,
    sparse,
    vector,
)
from millrace.catalog.sklearn._examples import (
    example_labels,
    example_rows,
    small_estimator,
    spelled,
)
from millrace.catalog.sklearn._meta import (
    answer,
    as_numbers,
    block,
    columns_added,
    filled,
    of_one_dtype,
    with_labels,
)
from millrace.catalog.sklearn._pairwise import euclidean_distances
from millrace.catalog.sklearn.linear_classifiers import of_two
from millrace.ir.build import Value


def _inner(model: Any, x: Value, context: Context) -> list[Outputs]:
    return [_binary(e, x, context, f"estimators_[{i}]") for i, e in enumerate(model.estimators_)]


def _binary(estimator: Any, x: Value, context: Context, name: str) -> Outputs:
    """The methods of one inner estimator; a label that all rows had is predicted without one."""
    if type(estimator).__name__ != "_ConstantPredictor":
        return context.convert(estimator, x, name)
    label = filled(x, np.atleast_1d(estimator.y_))
    of_second = filled(x, np.atleast_1d(estimator.y_).astype(np.float64))
    proba = of_two(of_second)
    return {
        "predict": vector(label),
        "decision_function": vector(label),
        "predict_proba": proba,
    }


def _confidence(estimator: Any, outputs: Outputs, name: str) -> Value:
    """``_predict_binary``: how sure the estimator is of the second class."""
    from sklearn.base import is_regressor

    if is_regressor(estimator):
        return _single(block(outputs, "predict", name), name)
    if hasattr(estimator, "decision_function"):
        return _single(block(outputs, "decision_function", name), name)
    return block(outputs, "predict_proba", name).column(1)


def _single(value: Value, name: str) -> Value:
    if value.width != 1:
        raise Decline(f"its estimator {name!r} gives more than one number a row")
    return value


def _confidences(model: Any, inner: Sequence[Outputs]) -> list[Value]:
    pairs = zip(model.estimators_, inner, strict=True)
    return [_confidence(e, o, f"estimators_[{i}]") for i, (e, o) in enumerate(pairs)]


def _threshold(estimator: Any) -> float:
    """``_threshold_for_binary_predict``."""
    from sklearn.base import is_classifier

    return 0.0 if hasattr(estimator, "decision_function") and is_classifier(estimator) else 0.5


# -- one against the rest ------------------------------------------------------------------
@converts("sklearn.multiclass.OneVsRestClassifier")
def one_vs_rest(model: Any, x: Value, context: Context) -> Outputs:
    """The class whose estimator is most sure; for several labels a row, those above the threshold."""
    inner = _inner(model, x, context)
    outputs: dict[str, Value | Result] = {
        "predict": _rest_labels(model, _confidences(model, inner))
    }
    if hasattr(model, "predict_proba"):
        outputs["predict_proba"] = _rest_proba(model, inner)
    if hasattr(model, "decision_function"):
        if len(inner) == 1:
            outputs["decision_function"] = answer(inner[0], "decision_function", "estimators_[0]")
        else:
            decisions = [block(o, "decision_function", f"[{i}]") for i, o in enumerate(inner)]
            outputs["decision_function"] = x.builder.concat(
                [_single(d, f"estimators_[{i}]") for i, d in enumerate(decisions)]
            )
    return outputs


def _rest_labels(model: Any, confidences: Sequence[Value]) -> Value | Result:
    binarizer = model.label_binarizer_
    both = confidences[0].builder.concat(confidences)
    if binarizer.y_type_ == "multiclass":
        return vector(with_labels(both.reduce("argmax"), model.classes_))
    above = (both > both.scalar(_threshold(model.estimators_[0]))).cast("int64")
    if binarizer.y_type_ == "binary":
        if len(model.classes_) == 1:
            above = above * np.int64(0)
        return vector(with_labels(above, model.classes_))
    if not binarizer.sparse_input_:
        return above
    from sklearn import get_config

    arrays = get_config()["sparse_interface"] == "sparray"
    return sparse(above, "csr_array" if arrays else "csr_matrix")


def _rest_proba(model: Any, inner: Sequence[Outputs]) -> Value:
    columns = of_one_dtype(
        [block(o, "predict_proba", f"estimators_[{i}]").column(1) for i, o in enumerate(inner)]
    )
    proba = columns[0].builder.concat(columns)
    if len(columns) == 1:
        proba = of_two(proba)
    if model.multilabel_:
        return proba
    total = columns_added(proba)
    return proba / total.equals(total.scalar(0.0)).where(total.scalar(1.0), total)


# -- one against one -----------------------------------------------------------------------
@converts("sklearn.multiclass.OneVsOneClassifier")
def one_vs_one(model: Any, x: Value, context: Context) -> Outputs:
    """The class with most votes among all pairs; of equal votes the surer one.

    Declines: a precomputed kernel.
    """
    if model.pairwise_indices_ is not None:
        raise Decline("its estimators take a precomputed kernel")
    inner = _inner(model, as_numbers(x), context)
    n_classes = len(model.classes_)
    builder = x.builder
    predicted = [_single(block(o, "predict", "pair"), "pair") for o in inner]
    scores = _pair_scores(
        builder.concat(predicted), builder.concat(_confidences(model, inner)), n_classes
    )
    if n_classes == 2:
        decision = scores.column(1)
        numbers = (decision > np.float64(_threshold(model.estimators_[0]))).cast("int64")
        return {
            "predict": vector(with_labels(numbers, model.classes_)),
            "decision_function": vector(decision),
        }
    numbers = scores.reduce("argmax")
    return {
        "predict": vector(with_labels(numbers, model.classes_)),
        "decision_function": scores,
    }


def _pair_scores(predicted: Value, confidences: Value, n_classes: int) -> Value:
    """``_ovr_decision_function``: votes, and confidences squeezed to less than half a vote."""
    pairs = [(i, j) for i in range(n_classes) for j in range(i + 1, n_classes)]
    winners = np.zeros((2 * len(pairs), n_classes))
    for k, (i, j) in enumerate(pairs):
        winners[k, i] = winners[len(pairs) + k, j] = 1.0
    zero, one = predicted.scalar(0.0), predicted.scalar(1.0)
    sides = predicted.builder.concat([predicted.equals(zero), predicted.equals(one)])
    votes = sides.cast("float64") @ winners  # small whole numbers: exact in any order
    place = {pair: k for k, pair in enumerate(pairs)}
    total = confidences.builder.constant(np.zeros(n_classes))
    wide = confidences.cast("float64")
    for step in range(n_classes - 1):  # each class meets the others in this order
        others = [step + (step >= c) for c in range(n_classes)]
        meets = wide.take([place[min(c, o), max(c, o)] for c, o in enumerate(others)])
        total = total + meets * np.array([-1.0 if c < o else 1.0 for c, o in enumerate(others)])
    squeezed = total / ((total.apply("abs") + np.float64(1)) * np.float64(3))
    return votes + squeezed


# -- output codes --------------------------------------------------------------------------
@converts("sklearn.multiclass.OutputCodeClassifier")
def output_code(model: Any, x: Value, context: Context) -> Outputs:
    """The class whose code is nearest to what the estimators say.

    The distances come from products, whose order of additions BLAS does not fix: of two codes that are
    equally near within that rounding either may be taken.
    """
    confidences = _confidences(model, _inner(model, x, context))
    codes = x.builder.concat([c.cast("float64") for c in confidences])
    codes = codes.guard("OutputCodeClassifier")
    distances = euclidean_distances(codes, model.code_book_, squared=True)
    return {"predict": vector(with_labels(distances.reduce("argmin"), model.classes_))}


# -- examples ------------------------------------------------------------------------------


def _targets(kind: str, signal: Any) -> Any:
    if kind in ("labels", "sparse labels", "constant label"):
        y = np.column_stack([signal > 0, signal > 1, np.abs(signal) > 0.5]).astype(int)
        if kind == "constant label":
            y[:, 1] = 1
        if kind == "sparse labels":
            import scipy.sparse as sp

            return sp.csr_matrix(y)
        return y
    names: dict[str, list[Any]] = {
        "two": ["no", "yes"],
        "three": ["a", "bb", "c"],
        "five": [5, -5, 0, 7, 2],
        "nine": [float(i) for i in range(9)],
    }
    return example_labels(signal, names[kind])


_BOUND: dict[str, Any] = {
    "ulp": 1024,
    "absolute": 1e-11,
    "why": f"linear models inside: {BLAS_ORDER}",
}
_NARROW: dict[str, Any] = {**_BOUND, "absolute": 1e-4}
_ONE_ROW: dict[str, Any] = {
    "ulp": 9,
    "why": "NumPy adds up a single row of many classes in another order",
}


def _example(
    class_name: str, inner: str, targets: str = "three", rows: str = "plain", **params: Any
) -> Example:
    def make() -> tuple[Any, Any]:
        import sklearn.multiclass

        x, signal = example_rows(len(targets), rows, 120)
        model = getattr(sklearn.multiclass, class_name)(small_estimator(inner), **params)
        return model.fit(x, _targets(targets, signal)), x

    options = spelled(params)
    bound: dict[str, Any] = _NARROW if rows == "float32" else _BOUND
    if inner == "tree":
        bound = _ONE_ROW if targets == "nine" else {}
    return Example(f"{class_name} of {inner}, {targets}, {rows} rows{options}", make, **bound)


def examples() -> Iterator[Example]:
    """Two to nine classes, several labels a row, classifiers with and without decisions, regressors."""
    rest, one, code = "OneVsRestClassifier", "OneVsOneClassifier", "OutputCodeClassifier"
    yield _example(rest, "tree")
    yield _example(rest, "tree", "nine", "named")
    yield _example(rest, "logistic", "two", "float32")
    yield _example(rest, "logistic", "five", "sparse")
    yield _example(rest, "svc", "three", "named")
    yield _example(rest, "ridge", "labels")
    yield _example(rest, "logistic", "constant label")
    yield _example(rest, "tree", "sparse labels")
    yield _example(one, "tree", "five", "named")
    yield _example(one, "tree", "two")
    yield _example(one, "logistic", "five", "float32")
    yield _example(one, "svc", "three", "sparse")
    yield _example(one, "ridge", "two")
    yield _example(code, "tree", "five", random_state=0, code_size=1.7)
    yield _example(code, "logistic", "three", "named", random_state=0)
    yield _example(code, "svc", "nine", "float32", random_state=1)
