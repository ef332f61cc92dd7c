"""Pipeline, ColumnTransformer, FeatureUnion, TransformedTargetRegressor.

None of them reads the data: each asks for its parts to be fitted, all parts that wait for nothing in one
list, and then sets the attributes that scikit-learn sets. Parameters are checked, columns selected and
outputs joined by scikit-learn's own private methods (1.9), called on a clone and on the first rows.

A step of a pipeline is fitted on what the step before it makes of the rows by ``transform``. Where
``fit_transform`` gives other training rows (`TargetEncoder`), the pipeline declines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.solvers.registry import Decline, Example, lookup, solves
from millrace.solvers.rows import Fitted, Rows
from millrace.solvers.sklearn._working import Asking, learned, library
from millrace.statistics.base import Batch, Columns, Statistic
from millrace.statistics.collect import frame


@solves("sklearn.pipeline.Pipeline", "imblearn.pipeline.Pipeline", weight=True)
def pipeline(estimator: Any, rows: Rows) -> Asking:
    """Steps one after the other; weights go to the last one, as ``fit(..., last__sample_weight=w)``."""
    if estimator.transform_input is not None:
        raise Decline("transform_input routes metadata through the steps")
    estimator._validate_steps()
    steps, at = list(estimator.steps), rows.unweighted()
    for i, (name, step) in enumerate(steps[:-1]):
        if step is None or step == "passthrough":
            continue
        if hasattr(step, "fit_resample"):
            raise Decline(f"its step {name!r} draws other rows")
        if _fits_crosswise(step):
            raise Decline(
                f"its step {name!r} holds a TargetEncoder, which hands on training rows that are encoded "
                f"by cross fitting, other than transform encodes them"
            )
        fitted = yield at.fit(step, name)
        steps[i] = (name, fitted.estimator)
        at = _of_one_column(fitted) if takes_series(step) else fitted.rows
    name, last = steps[-1]
    if last is not None and last != "passthrough":
        fitted = yield replace(at, weighted=rows.weighted).fit(last, name)
        steps[-1] = (name, fitted.estimator)
    return {"steps": steps}


def takes_series(step: Any) -> bool:
    """Whether an estimator takes one column as a series, as vectorizers of texts do."""
    if hasattr(step, "steps"):
        return takes_series(step.steps[0][1])
    if hasattr(step, "transformer_list"):
        return any(takes_series(one) for _, one in step.transformer_list)
    if not hasattr(step, "__sklearn_tags__"):
        return False
    tags = step.__sklearn_tags__().input_tags
    return tags.string and not tags.two_d_array


class OneColumn:
    """A fitted transformer of a series, as one of tables with one column."""

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    def transform(self, X: Any) -> Any:
        """What the transformer makes of the only column, or of the series itself."""
        if getattr(X, "ndim", 1) == 2:
            X = X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0]
        return self.transformer.transform(X)


def _of_one_column(fitted: Fitted) -> Rows:
    request = fitted.request
    made = request.rows.through(OneColumn(fitted.estimator), f"{request.key} of a series")
    return replace(made, path=request.asked_by)


def _fits_crosswise(step: Any) -> bool:
    """Whether the step is, or holds, a transformer whose ``fit_transform`` differs from ``transform``."""
    TargetEncoder = library("sklearn.preprocessing").TargetEncoder
    held = [step, *step.get_params(deep=True).values()] if hasattr(step, "get_params") else [step]
    return any(isinstance(one, TargetEncoder) for one in held)


@solves("sklearn.compose.ColumnTransformer")
def column_transformer(estimator: Any, rows: Rows) -> Asking:
    """Parts side by side, each fitted on its columns; all in the same sweeps.

    One more sweep counts stored cells where a part answers sparse rows and it is not plain from the
    parameters on which side of ``sparse_threshold`` the density lies.
    """
    work = _prepared(estimator, rows.head)
    names, requests, weights = [], [], []
    for name, step, columns, weight in work._iter(
        fitted=False, column_as_labels=False, skip_drop=True, skip_empty_columns=True
    ):
        part = _selected(work, rows, name, step, columns)
        requests.append(part.fit(_part(work, step), name))
        names.append(name)
        weights.append(weight)
    answers: list[Fitted] = (yield requests) if requests else []
    if not answers:
        work._update_fitted_transformers([])
        return learned(work)
    transformers = [answer.estimator for answer in answers]
    heads = [
        _times(t.transform(r.rows.head), w)
        for t, r, w in zip(transformers, requests, weights, strict=True)
    ]
    work.sparse_output_ = yield from _is_sparse(work, requests, transformers, heads)
    work._update_fitted_transformers(transformers)
    work._validate_output(heads)
    work._record_output_indices(heads)
    work._hstack(list(heads), n_samples=heads[0].shape[0])
    return learned(work)


def _prepared(estimator: Any, head: Any) -> Any:
    """A clone that has looked at the columns, as ``fit_transform`` does before it fits the parts."""
    from sklearn.base import clone
    from sklearn.utils.validation import validate_data

    if head is None:
        raise Decline("the columns that it receives are not known beforehand")
    work: Any = clone(estimator)
    work._validate_params()
    validate_data(work, X=head, skip_check_array=True)
    work._validate_transformers()
    work._validate_column_callables(head)
    work._validate_remainder(head)
    return work


def _part(work: Any, step: Any) -> Any:
    from sklearn.base import clone
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.utils._set_output import _get_output_config

    if step != "passthrough":
        return clone(step)
    passing = FunctionTransformer(
        accept_sparse=True, check_inverse=False, feature_names_out="one-to-one"
    )
    return passing.set_output(transform=_get_output_config("transform", work)["dense"])


def _takes_table(step: Any) -> bool:
    """Whether it refuses a series; a FunctionTransformer takes what its function takes."""
    function = isinstance(step, library("sklearn.preprocessing").FunctionTransformer)
    return not (function or takes_series(step)) and hasattr(step, "__sklearn_tags__")


def _selected(work: Any, rows: Rows, name: str, step: Any, columns: Any) -> Rows:
    """The columns of one part; with a head of one dimension where they are one scalar."""
    from sklearn.compose._column_transformer import _ERR_MSG_1DCOLUMN
    from sklearn.utils import _safe_indexing

    part = rows.chosen(work._transformer_to_input_indices[name])
    head: Any = _safe_indexing(rows.head, columns, axis=1)
    if head.ndim == 1 and step != "passthrough" and _takes_table(step):
        if lookup(type(step)) is None:
            raise Decline(f"its part {name!r} may read a single column as a series")
        raise ValueError(_ERR_MSG_1DCOLUMN)
    return replace(part, head=head)


def _is_sparse(work: Any, requests: list[Any], transformers: list[Any], heads: list[Any]) -> Asking:
    """Whether the parts together are below ``sparse_threshold``, as over all rows."""
    if not any(sp.issparse(head) for head in heads):
        return False
    asked = [
        i
        for i, (head, t) in enumerate(zip(heads, transformers, strict=True))
        if sp.issparse(head) and _stored_in_each_row(t) is None
    ]
    n_columns = sum(head.shape[1] for head in heads)
    counts: dict[int, Stored] = {}
    if asked:
        answers = yield [_stored(requests[i], transformers[i]) for i in asked]
        counts = dict(zip(asked, answers, strict=True))
    n_rows = next(iter(counts.values())).rows if counts else 1
    stored = 0
    for i, (head, transformer) in enumerate(zip(heads, transformers, strict=True)):
        if i in counts:
            stored += counts[i].cells
        elif sp.issparse(head):
            stored += n_rows * (_stored_in_each_row(transformer) or 0)
        else:
            stored += n_rows * head.shape[1]
    return stored / (n_rows * n_columns) < work.sparse_threshold


def _stored(request: Any, transformer: Any) -> Any:
    """The request for the stored cells of what a part makes of its rows."""
    flat = getattr(request.rows.head, "ndim", 2) == 1
    return request.rows.ask(StoredCells(transformer, request.key, flat))


def _stored_in_each_row(transformer: Any) -> int | None:
    """Stored cells in each row, where the parameters tell: one for a column, in one-hot rows."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    while isinstance(transformer, Pipeline):
        transformer = transformer.steps[-1][1]
    if type(transformer) is not OneHotEncoder:
        return None
    plain = transformer.drop is None and isinstance(transformer.categories, str)
    return len(transformer.categories_) if plain else None


@dataclass(frozen=True)
class Stored:
    """The answer of `StoredCells`: stored cells and rows."""

    cells: int
    rows: int


@dataclass(frozen=True, eq=False)
class StoredCells(Statistic[Stored, Stored]):
    """How many cells a fitted transformer stores for the rows, in all.

    Attributes
    ----------
    transformer : object
        Its ``transform`` answers sparse rows.
    made_by : str
        The key of the request that fitted it.
    flat : bool
        It takes one column as a series.
    """

    transformer: Any
    made_by: str
    flat: bool

    @property
    def key(self) -> str:  # type: ignore[override]
        """Equal transformers on equal rows store equal cells."""
        return f"StoredCells:{self.made_by}"

    def of(self, batch: Batch) -> Stored:
        X = frame(batch.X) if isinstance(batch.X, Columns) else batch.X
        if self.flat:
            X = X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0]
        return Stored(int(self.transformer.transform(X).nnz), len(batch))

    def merge(self, left: Stored, right: Stored) -> Stored:
        return Stored(left.cells + right.cells, left.rows + right.rows)

    def finish(self, state: Stored) -> Stored:
        return state


def _times(block: Any, weight: float | None) -> Any:
    return block if weight is None else block * weight


@solves("sklearn.pipeline.FeatureUnion")
def feature_union(estimator: Any, rows: Rows) -> Asking:
    """Transformers side by side on the same rows, in the same sweeps."""
    from sklearn.base import clone

    # Names and weights are checked on a shell, since `_iter` works from the list itself.
    shell: Any = clone(estimator, safe=False)
    shell._validate_transformers()
    shell._validate_transformer_weights()
    parts = list(estimator._iter())
    answers: list[Fitted] = (
        (yield [rows.fit(step, name) for name, step, _ in parts]) if parts else []
    )
    fitted = iter([answer.estimator for answer in answers])
    found = {
        "transformer_list": [
            (name, old if old == "drop" else next(fitted))
            for name, old in estimator.transformer_list
        ]
    }
    return found


@solves("sklearn.compose.TransformedTargetRegressor")
def transformed_target(estimator: Any, rows: Rows) -> Asking:
    """Declines: a target cannot be transformed on the way yet."""
    raise Decline("its target is transformed before the regressor sees it")
    yield rows


def _mixed() -> Any:
    import pandas as pd

    rng = np.random.default_rng(3)
    n = 150
    frame_ = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n).astype(float),
            "height": rng.normal(170, 9, n),
            "town": rng.choice(["Ulm", "Bonn", "Köln", "Trier"], n),
            "kind": rng.choice(["a", "b"], n),
            "extra": rng.normal(size=n),
        }
    )
    frame_.loc[rng.random(n) < 0.1, "age"] = np.nan
    frame_.loc[rng.random(n) < 0.1, "town"] = np.nan
    return frame_, rng.normal(size=n)


def examples() -> Iterator[Example]:
    """Pipelines in columns and columns in pipelines, selectors of every kind, sparse and dense."""
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import FeatureUnion, make_pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

    numbers, words = ["age", "height"], ["town", "kind"]

    def made(*parts: Any, **given: Any) -> Any:
        def make() -> Any:
            return (ColumnTransformer(list(parts), **given), *_mixed())

        return make

    number_part = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    word_part = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    yield Example("columns by name", made(("n", number_part, numbers), ("w", word_part, words)))
    yield Example(
        "columns by selector, remainder passed",
        made(
            ("n", number_part, make_column_selector(pattern="age|height")),
            ("w", OneHotEncoder(sparse_output=False), words),
            remainder="passthrough",
        ),
    )
    yield Example(
        "positions, slices and masks",
        made(
            ("n", SimpleImputer(), slice(0, 2)),
            ("w", OneHotEncoder(drop="first"), [2, 3]),
            ("m", MinMaxScaler(), [False, False, False, False, True]),
            remainder="drop",
            sparse_threshold=1.0,
        ),
    )
    yield Example(
        "weights, dropped and empty parts",
        made(
            ("n", StandardScaler(), numbers),
            ("e", StandardScaler(), []),
            ("d", "drop", words),
            ("p", "passthrough", ["extra"]),
            transformer_weights={"n": 2.0},
            verbose_feature_names_out=False,
        ),
    )
    yield Example(
        "one column as texts",
        made(("t", CountVectorizer(analyzer="char"), "kind"), ("n", SimpleImputer(), numbers)),
    )

    def union() -> Any:
        X = np.random.default_rng(0).normal(size=(120, 4))
        parts = [
            ("s", StandardScaler()),
            ("p", "passthrough"),
            ("d", "drop"),
            ("m", MinMaxScaler()),
        ]
        return make_pipeline(FeatureUnion(parts), StandardScaler()), X, None

    yield Example("pipeline of a union", union)

    lengths = make_pipeline(CountVectorizer(analyzer="char"), StandardScaler(with_mean=False))
    yield Example("a pipeline on one column of texts", made(("t", lengths, "kind")))
    encoders = library("sklearn.preprocessing")
    yield Example(
        "target encoder beside others",
        made(("t", encoders.TargetEncoder(smooth=3.0), words), ("n", SimpleImputer(), numbers)),
    )

    def pandas_out() -> Any:
        whole = ColumnTransformer([("n", number_part, numbers)], remainder="drop")
        return whole.set_output(transform="pandas"), *_mixed()

    yield Example("data frame out", pandas_out)
