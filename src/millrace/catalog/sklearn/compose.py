"""Pipelines, feature unions and column transformers: how the steps of a model are wired.

Semantics matched: ``sklearn/pipeline.py`` and ``sklearn/compose/_column_transformer.py`` of
scikit-learn 1.9.1. These objects compute nothing themselves; every cell comes from a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    SeriesValue,
    SparseValue,
    converts,
    handed_on,
    in_container_of,
    sparse,
)
from millrace.catalog.translate import SeriesColumns, input_columns
from millrace.errors import UnsupportedModelError
from millrace.ir.build import Shape, Value
from millrace.ir.ops import Dense
from millrace.ir.program import Column

_PIPELINE_METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
    "transform",
)


def _is(step: object, *words: str | None) -> bool:
    return (step is None or isinstance(step, str)) and step in words


def _first_columns(steps: Sequence[Any], owner: str) -> Sequence[Column]:
    """The table that the first step that looks at its input was fitted on."""
    for step in steps:
        if not _is(step, None, "passthrough", "drop"):
            return input_columns(step)
    raise UnsupportedModelError.declined(
        "",
        owner,
        "none of its steps says how many columns it was fitted on",
        "Add a step that looks at its input.",
    )


@converts(
    "sklearn.pipeline.Pipeline",
    columns=lambda source: _first_columns([s for _, s in source.steps], "Pipeline"),
)
def pipeline(source: Any, x: Value, context: Context) -> Outputs:
    """The steps one after another; the methods are those of the last one that a pipeline passes on.

    Semantics matched: ``Pipeline`` in ``sklearn/pipeline.py``, 1.9.1. ``None`` and
    ``'passthrough'`` hand their input on as it is, so that a data frame stays a data frame.

    Exactness and missing values: those of the steps.
    """
    *earlier, (name, last) = source.steps
    for step_name, step in earlier:
        if not _is(step, None, "passthrough"):
            x = handed_on(_transform(step, x, step_name, context))
    if _is(last, None, "passthrough"):
        return {"transform": in_container_of(x, x)}
    outputs = context.convert(last, x, name)
    return {m: r for m, r in outputs.items() if m.split("(")[0] in _PIPELINE_METHODS}


def _transform(step: Any, x: Value, name: str, context: Context) -> Value | Result:
    outputs = context.convert(step, x, name)
    if "transform" not in outputs:
        raise Decline(f"step {name!r} ({type(step).__name__}) gave no transform that can be called")
    return outputs["transform"]


@converts("sklearn.compose.ColumnTransformer")
def column_transformer(source: Any, x: Value, context: Context) -> Outputs:
    """Transformers on selections of columns, their outputs side by side.

    Semantics matched: ``ColumnTransformer`` in ``sklearn/compose/_column_transformer.py``, 1.9.1.
    Selections are those that ``fit`` resolved (names, positions, slices, masks, callables,
    remainder). Whether the output is sparse was decided by ``fit`` (``sparse_output_``).

    Exactness and missing values: those of the transformers; weights multiply in the dtype that
    NumPy gives the product.

    A selection given as one name or number hands a one-dimensional column on, which vectorisers of
    text take. Declines: other transformers of such a column.
    """
    blocks: list[Value] = []
    for name, step, columns in source.transformers_:
        positions = source._transformer_to_input_indices[name]
        if _is(step, "drop") or not len(positions):
            continue
        picked = _pick(x, positions)
        passes = _is(step, "passthrough")
        if np.isscalar(columns):
            if passes or not _takes_series(step):
                raise Decline(f"its transformer {name!r} takes the single column {columns!r}")
            picked = SeriesValue(picked.builder, picked.step, picked.columns)
        result = picked if passes else _transform(step, picked, name, context)
        blocks.append(_weighted(result, (source.transformer_weights or {}).get(name)))
    if not blocks:
        return {"transform": x.take([])}
    if getattr(source, "sparse_output_", False):
        numbers = [b if isinstance(b, SparseValue) else b.cast("numeric") for b in blocks]
        return {"transform": sparse(x.builder.concat(numbers), _kind(blocks))}
    blocks = [b.then(Dense()) if b.is_sparse else b for b in blocks]
    return {"transform": x.builder.concat(blocks, apart=True)}


@converts(
    "sklearn.pipeline.FeatureUnion",
    columns=lambda source: _first_columns([s for _, s in source.transformer_list], "FeatureUnion"),
)
def feature_union(source: Any, x: Value, context: Context) -> Outputs:
    """Transformers on the same input, their outputs side by side; sparse as soon as one is.

    Semantics matched: ``FeatureUnion`` in ``sklearn/pipeline.py``, 1.9.1.

    Exactness and missing values: those of the transformers.
    """
    blocks: list[Value] = []
    for name, step in source.transformer_list:
        if _is(step, "drop"):
            continue
        result = x if _is(step, "passthrough") else _transform(step, x, name, context)
        blocks.append(_weighted(result, (source.transformer_weights or {}).get(name)))
    if not blocks:
        return {"transform": x.take([])}
    union = x.builder.concat(blocks, apart=True)
    if any(isinstance(b, SparseValue) for b in blocks):
        return {"transform": sparse(union, _kind(blocks))}
    return {"transform": union}


def _kind(blocks: Sequence[Value]) -> Shape:
    """``scipy.sparse.hstack`` gives an array as soon as one block is one."""
    kinds = [b.kind for b in blocks if isinstance(b, SparseValue)]
    return "csr_array" if "csr_array" in kinds else "csr_matrix"


def _takes_series(step: Any) -> bool:
    try:
        return isinstance(input_columns(step), SeriesColumns)
    except UnsupportedModelError:
        return False


def _pick(x: Value, positions: Sequence[int]) -> Value:
    picked = x.take(positions)
    if isinstance(x, SparseValue):
        return SparseValue(picked.builder, picked.at, (), x.kind)
    return picked


def _weighted(result: Value | Result, weight: Any) -> Value:
    """One block of the stack, read as an array of one dtype, times the weight of its transformer.

    A Python number does not widen a float block (NEP 50), a NumPy number does.
    """
    x = handed_on(result)
    x = x if isinstance(x, SparseValue) else Value(x.builder, x.at)
    if weight is None:
        return x
    if isinstance(weight, np.generic):
        factor = x.builder.constant(weight)
    elif isinstance(weight, int) and abs(weight) < 128:
        factor = x.builder.constant(np.int8(weight))
    else:
        factor = x.cast("float").scalar(weight)
    return handed_on(in_container_of(x, x * factor))


# -- examples ------------------------------------------------------------------------------


def _table(n_samples: int = 60) -> Any:
    """Numbers of three dtypes and two text columns, both kinds with missing cells."""
    import pandas as pd

    rng = np.random.default_rng(0)
    age = rng.normal(40, 12, n_samples).round(1)
    age[rng.random(n_samples) < 0.1] = np.nan
    cells = {
        name: rng.choice(list(names), n_samples).astype(object)
        for name, names in (("city", ["Bern", "Oslo", "Riga"]), ("job", list("abcdefgh")))
    }
    cells["city"][rng.random(n_samples) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "income": rng.lognormal(3, 1, n_samples).astype("float32"),
            "children": rng.integers(0, 5, n_samples),
            "city": pd.Series(cells["city"], dtype=object),
            "job": pd.Series(cells["job"], dtype="str"),
        }
    )


def _numbers(n_samples: int = 40) -> Any:
    return np.random.default_rng(1).normal(0, 3, (n_samples, 5))


def _target(n_samples: int) -> Any:
    return np.array(["no", "yes"])[np.random.default_rng(2).integers(0, 2, n_samples)]


def _adult_like(final: str, **options: Any) -> tuple[Any, Any]:
    """Impute, scale and encode, then a final step."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    X = _table()
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepare = ColumnTransformer(
        [("numbers", numbers, ["age", "income", "children"]), ("text", text, ["city", "job"])],
        **options,
    )
    last = {
        "LogisticRegression": LogisticRegression(),
        "Ridge": Ridge(),
        "passthrough": "passthrough",
    }[final]
    y = X["children"] if final == "Ridge" else _target(len(X))
    return make_pipeline(prepare, last).fit(X, y), X


def _by_position(selections: Sequence[Any], **options: Any) -> tuple[Any, Any]:
    """Scalers on selections of a NumPy array."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    steps = [StandardScaler(), MaxAbsScaler(), "passthrough"]
    X = _numbers()
    parts = [(f"t{i}", steps[i % 3], s) for i, s in enumerate(selections)]
    return ColumnTransformer(parts, **options).fit(X), X


def _last_two(X: Any) -> list[int]:
    return [X.shape[1] - 2, X.shape[1] - 1]


def _remainder(remainder: str) -> tuple[Any, Any]:
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    X = _table()
    rest: Any = StandardScaler() if remainder == "estimator" else remainder
    text = OneHotEncoder(sparse_output=False)
    parts = [
        ("text", text, make_column_selector(dtype_include=["object", "str"])),
        ("gone", "drop", ["age"]),
        ("none", StandardScaler(), []),
    ]
    return ColumnTransformer(parts, remainder=rest).fit(X), X


def _sparse_chain(threshold: float) -> tuple[Any, Any]:
    """A scaler and a nested column transformer that receive what may be a sparse matrix."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

    X = _table().drop(columns="age")
    prepare = ColumnTransformer(
        [("text", OneHotEncoder(), ["job", "city"]), ("number", "passthrough", ["income"])],
        sparse_threshold=threshold,
        transformer_weights={"text": 0.3, "number": 2},
    )
    again = ColumnTransformer(
        [("max", MaxAbsScaler(), [0, 3, 11]), ("rest", "passthrough", [1, 2])]
    )
    steps = (prepare, StandardScaler(with_mean=False), again, LogisticRegression())
    return make_pipeline(*steps).fit(X, _target(len(X))), X


def _union(parts: str, weights: Any = None) -> tuple[Any, Any]:
    from sklearn.pipeline import FeatureUnion
    from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

    X = _numbers().round(0) if "onehot" in parts else _numbers().astype("float32")
    known = {
        "scale": StandardScaler(),
        "max": MaxAbsScaler(),
        "onehot": OneHotEncoder(),
        "passthrough": "passthrough",
        "drop": "drop",
    }
    union = FeatureUnion([(p, known[p]) for p in parts.split()], transformer_weights=weights)
    return union.fit(X), X


def _passing_steps() -> tuple[Any, Any]:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    X = _numbers()
    inner = Pipeline([("nothing", None), ("scale", StandardScaler())])
    steps = [("start", "passthrough"), ("inner", inner), ("fit", LinearRegression())]
    return Pipeline(steps).fit(X, X[:, 0] - X[:, 1]), X


def _one_dimensional() -> tuple[Any, Any]:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer

    X = _numbers()
    take = FunctionTransformer(lambda column: np.asarray(column)[:, None])
    return ColumnTransformer([("one", take, 0), ("rest", "passthrough", [1])]).fit(X), X


def examples() -> Iterator[Example]:
    """Every way to select columns, both containers, nesting, weights and passing steps."""
    bound: dict[str, Any] = {
        "ulp": 16,
        "absolute": 1e-12,
        "why": f"the linear model at the end: {BLAS_ORDER}",
    }
    yield Example("adult-like-logistic", partial(_adult_like, "LogisticRegression"), **bound)
    yield Example("adult-like-ridge", partial(_adult_like, "Ridge", sparse_threshold=0), **bound)
    yield Example("adult-like-sparse", partial(_adult_like, "passthrough", sparse_threshold=1))
    yield Example("adult-like-dense", partial(_adult_like, "passthrough", sparse_threshold=0))
    yield Example(
        "adult-like-weights",
        partial(_adult_like, "passthrough", transformer_weights={"text": 2, "numbers": 0.7}),
    )
    yield Example("lists", partial(_by_position, [[0, 2], [4], [1, 1, 0]]))
    yield Example("negative", partial(_by_position, [[-1], [-2, 0]]))
    yield Example("slices", partial(_by_position, [slice(0, 2), slice(2, None)]))
    yield Example(
        "masks",
        partial(_by_position, [np.array([1, 0, 0, 1, 0], bool), [False, True, True, False, False]]),
    )
    yield Example("callable", partial(_by_position, [_last_two]))
    yield Example("rest-passes", partial(_by_position, [[1]], remainder="passthrough"))
    yield Example("nothing-selected", partial(_by_position, [[]]))
    yield Example(
        "numpy-weight",
        partial(
            _by_position,
            [[0], [1], [2]],
            transformer_weights={"t0": np.float64(0.1), "t1": 0.1, "t2": -3},
        ),
    )
    for remainder in ("drop", "passthrough", "estimator"):
        yield Example(f"remainder-{remainder}", partial(_remainder, remainder))
    for threshold in (0.0, 1.0):
        yield Example(f"sparse-chain-{threshold:g}", partial(_sparse_chain, threshold), **bound)
    for parts in ("scale max", "passthrough scale drop", "onehot scale", "drop onehot"):
        yield Example(f"union {parts}", partial(_union, parts))
    yield Example("union-weights", partial(_union, "scale max", {"scale": 0.1, "max": 3}))
    yield Example("passing-steps", _passing_steps, **bound)
    yield Example("one-dimensional", _one_dimensional, native=False)
