"""Gradient boosting on histograms: HistGradientBoosting*.

Semantics matched: ``gradient_boosting.py`` and ``_predictor.pyx`` in
``sklearn/ensemble/_hist_gradient_boosting``, and ``sklearn/_loss``, of scikit-learn 1.9. The rows
are read as float64. The trees are added one by one to the baseline prediction. Nothing raises on
NaN or infinities: NaN follows ``missing_go_to_left`` and infinities are compared as they are.

Categorical columns go through the model's own ordinal encoder. A category that the encoder, or the
training part of an early-stopped fit, never saw is treated as missing.

Every method has the same bits as the source's, except `predict_proba` with 8 or more classes: there
the source's row sums depend on the number of rows, and a bound of `n_classes` ulp holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, squeezed, vector
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._forest import (
    Nodes,
    forest,
    labels,
)
from millrace.catalog.sklearn._meta import columns_added
from millrace.catalog.sklearn.boosting import inverse_link, probabilities
from millrace.ir.arrays import offsets
from millrace.ir.build import Value
from millrace.ir.ops import Forest


def _rows(model: Any, x: Value, context: Context) -> Value:
    """The columns as the trees know them: the encoded categorical ones first, then the others.

    Float32 columns stay float32: the comparison with a threshold is made in float64 all the same.
    """
    if model._preprocessor is None:
        return x.cast("float")
    categorical = np.flatnonzero(model.is_categorical_)
    numeric = np.flatnonzero(~model.is_categorical_)
    parts: list[Value] = []
    if len(categorical):
        encoder = model._preprocessor.named_transformers_["encoder"]
        parts.append(context.value(encoder, x.take(categorical), "encoder"))
    if len(numeric):
        parts.append(x.take(numeric).cast("float"))
    return x.builder.concat(parts)


def _bits(sets: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Bitsets (n, 8) of 32-bit words, lowest bit first, as (n, 256) booleans."""
    octets = np.ascontiguousarray(sets, dtype="<u4").view(np.uint8).reshape(-1, 32)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(bool)


def _category_sets(
    model: Any, predictors: list[Any], nodes: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The category set of each node (-1 at a numeric split) and which codes each sends left.

    A code that the bins do not know follows ``missing_go_to_left``. The encoder gives no code past
    its own categories, so the sets end there.
    """
    split = (nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0)
    category = np.full(len(nodes), -1)
    category[split] = np.arange(split.sum())
    at = nodes[split]
    known_bitsets, column_map = model._bin_mapper.make_known_categories_bitsets()
    set_starts = offsets([len(p.raw_left_cat_bitsets) for p in predictors])
    tree = np.repeat(np.arange(len(predictors)), [len(p.nodes) for p in predictors])[split]
    left = np.concatenate([p.raw_left_cat_bitsets for p in predictors])
    sets = _bits(left[set_starts[tree] + at["bitset_idx"]])
    known = _bits(known_bitsets[column_map[at["feature_idx"]]])
    sets |= ~known & (at["missing_go_to_left"] != 0)[:, None]
    encoder = model._preprocessor.named_transformers_["encoder"]
    return category, sets[:, : max(len(c) for c in encoder.categories_)]


def _forest(model: Any) -> Forest:
    base = np.zeros(model.n_trees_per_iteration_) + model._baseline_prediction[0]
    if model._baseline_prediction.dtype != np.float64:
        raise Decline(f"it adds up in {model._baseline_prediction.dtype}")
    predictors = [p for iteration in model._predictors for p in iteration]
    records = np.concatenate([p.nodes for p in predictors])
    is_leaf = records["is_leaf"] != 0
    category, sets = None, None
    if records["is_categorical"].any():
        category, sets = _category_sets(model, predictors, records)
    nodes = Nodes(
        start=offsets([len(p.nodes) for p in predictors]),
        feature=records["feature_idx"],
        threshold=np.where(records["is_categorical"] != 0, 0.0, records["num_threshold"]),
        left=records["left"],
        right=records["right"],
        missing_left=records["missing_go_to_left"] != 0,
        is_leaf=is_leaf,
        category=category,
        sets=sets,
    )
    target = np.tile(np.arange(len(base)), len(model._predictors))
    return forest(nodes, records["value"][is_leaf][:, None], base, target)


@converts("sklearn.ensemble.HistGradientBoostingRegressor")
def histogram_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The sum of the trees, through the inverse of the loss's link. Exact."""
    raw = _rows(model, x, context).trees(_forest(model))
    return {"predict": vector(inverse_link(type(model._loss.link).__name__, raw))}


@converts("sklearn.ensemble.HistGradientBoostingClassifier")
def histogram_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """Labels, probabilities and raw scores, for two classes and for more.

    Exact but for the row sums named above.
    """
    raw = _rows(model, x, context).trees(_forest(model))
    if raw.width >= 8:
        context.bound(
            raw.width,
            0.0,
            "the source adds up eight or more probabilities in another order when it is "
            "asked for a single row",
        )
    if raw.width == 1:
        code = (raw > np.float64(0.0)).cast("int64")
    else:
        code = raw.reduce("argmax")
    return {
        "predict": vector(code.gather(labels(model.classes_))),
        "predict_proba": _softmax(raw) if raw.width >= 8 else probabilities(model._loss, raw),
        "decision_function": squeezed(raw),
    }


def _softmax(raw: Value) -> Value:
    """Softmax of many classes as the source computes it for two rows or more.

    Its scores lie column by column, and NumPy adds such columns up one after another; it adds up a
    single row of eight or more in another order.
    """
    exponential = (raw - raw.reduce("max")).apply("exp")
    return exponential / columns_added(exponential)


def _table(kind: str, rows: npt.NDArray[np.float64], rng: np.random.Generator) -> Any:
    """The rows as the examples name them; codes and words stand in the second and third column."""
    if kind in ("plain", "missing"):
        return rows
    if kind == "float32":
        return rows.astype(np.float32)
    codes = rng.choice([-3.0, 0.0, 1.5, 2.0, 300.0, np.nan], size=len(rows))
    if kind == "codes":
        return np.column_stack([rows[:, 0], codes, np.digitize(rows[:, 2], [-1, 0, 1]), rows[:, 3]])
    import pandas as pd

    n = len(rows)
    words = np.where(rows[:, 2] > 0, rng.choice(["ä", "b"], n), rng.choice(["c", "d"], n))
    frame = pd.DataFrame({"age": rows[:, 0], "code": codes, "word": words, "höhe": rows[:, 3]})
    frame["word"] = frame["word"].where(rng.random(n) > 0.1)
    if kind == "categories":
        return frame.astype({"word": "category", "code": "category"})
    return frame.astype({"word": object}) if kind == "words" else frame[["age", "höhe"]]


def _example(
    class_name: str, names: tuple[Any, ...] = (), rows: str = "plain", **params: Any
) -> Example:
    """A model on the positive signal, or on classes of these names, and rows of this kind."""

    def make() -> tuple[Any, Any]:
        import sklearn.ensemble

        x, signal = example_rows(7, "missing" if rows == "missing" else "plain")
        x = _table(rows, x, np.random.default_rng(0))
        y = example_labels(signal, names) if names else np.exp(signal)
        options = {"max_iter": 6, "random_state": 0, "min_samples_leaf": 5} | params
        return getattr(sklearn.ensemble, class_name)(**options).fit(x, y), x

    kind = f" {len(names)} classes of {type(names[0]).__name__}" if names else ""
    options = spelled(params)
    name = f"{class_name}{kind}, {rows} rows{options}"
    if len(names) < 8:
        return Example(name, make)
    why = "the source adds the classes in an order that depends on the number of rows"
    return Example(name, make, ulp=len(names), why=why)


def examples() -> Iterator[Example]:
    """All losses, kinds of class, kinds of row, and ways to name categorical columns."""
    regressor, classifier = "HistGradientBoostingRegressor", "HistGradientBoostingClassifier"
    text = ("low", "middle", "high")
    for rows in ("plain", "missing", "float32", "numeric frame", "categories"):
        yield _example(regressor, rows=rows)
        yield _example(classifier, text, rows)
    for loss in ("absolute_error", "gamma", "poisson"):
        yield _example(regressor, loss=loss)
    yield _example(regressor, loss="quantile", quantile=0.2)
    yield _example(regressor, rows="codes", categorical_features=(1, 2))
    yield _example(regressor, rows="codes", categorical_features=(0, 1, 2, 3), max_bins=255)
    yield _example(regressor, rows="codes", categorical_features=(False, True, False, False))
    yield _example(regressor, rows="words", categorical_features=("word", "code"), loss="poisson")
    yield _example(regressor, rows="missing", max_leaf_nodes=3, learning_rate=1.0, max_depth=2)
    yield _example(regressor, early_stopping=True, n_iter_no_change=1, max_iter=40)
    yield _example(regressor, rows="codes", categorical_features=(1,), early_stopping=True)
    yield _example(regressor, rows="missing", monotonic_cst=(1, 0, 0, -1))
    yield _example(classifier, (0, 1))
    yield _example(classifier, ("no", "yes"), "missing")
    yield _example(classifier, (False, True), "words", categorical_features=("word",))
    yield _example(classifier, (3,))
    yield _example(classifier, (0, 1), class_weight="balanced")
    yield _example(classifier, tuple(range(10)), max_iter=2)
