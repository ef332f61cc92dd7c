"""skrub's TableVectorizer, where every column is numeric.

Semantics matched: ``skrub/_table_vectorizer.py``, ``_to_float.py`` and ``_drop_uninformative.py`` of
skrub 0.11.0. A column of numbers becomes float32, goes through the transformer for numbers and is float32
again. The source answers with a data frame; here the answer is its array.

Exactness: that of the transformer for numbers. Missing values: NaN and infinities stay what they are,
unless that transformer says otherwise. Text in a column of numbers is refused, where the source reads it
as a number or as missing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, plain
from millrace.ir.build import Value


@converts("skrub.TableVectorizer")
def table_vectorizer(vectorizer: Any, x: Value, context: Context) -> Outputs:
    """Columns of numbers as float32, without those that ``fit`` dropped.

    Declines: columns of text (no primitive reads blank cells and words for nothing as missing), of dates
    and of categories, and ``specific_transformers``.
    """
    if vectorizer.specific_transformers:
        raise Decline("it has specific_transformers")
    names = list(vectorizer.feature_names_in_)
    blocks: list[Value] = []
    for position, name in enumerate(names):
        steps = [s for s in vectorizer.all_processing_steps_[name] if hasattr(s, "transform")]
        if any(getattr(step, "drop_", False) for step in steps):
            continue
        kind = vectorizer.column_to_kind_[name]
        if kind != "numeric":
            raise Decline(f"its column {name!r} is not numeric ({kind.replace('_', ' ')})")
        blocks.append(_column(x.column(position), steps, str(name), context))
    if not blocks:
        return {"transform": x.take([])}
    return {"transform": x.builder.concat(blocks)}


def _column(cells: Value, steps: list[Any], name: str, context: Context) -> Value:
    for step in steps:
        kind = type(step).__name__
        if kind == "ToFloat" and not step._needs_str_replace:
            cells = cells.cast("float32")
        elif kind in ("ToFloat", "CleanNullStrings", "ToDatetime", "DurationToFloat"):
            raise Decline(f"its column {name!r} holds numbers as text")
        elif kind not in ("DropUninformative", "PassThrough"):
            cells = plain(context.convert(step, cells, name)["transform"])
    return cells.cast("float32")


# -- examples ------------------------------------------------------------------------------


def _table(*, text: bool) -> Any:
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.normal(40, 12, 60).round(1),
            "count": rng.integers(0, 9, 60),
            "share": rng.random(60).astype("float32"),
            "member": rng.random(60) > 0.5,
            "nothing": np.full(60, np.nan),
        }
    )
    table.loc[::7, "age"] = np.nan
    if text:
        table["city"] = pd.Series(rng.choice(["Bern", "Oslo"], 60), dtype=object)
    return table


def _example(numbers: str = "", text: bool = False, model: bool = False) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from skrub import TableVectorizer

        table = _table(text=text)
        scaled: dict[str, Any] = {"numeric": StandardScaler()} if numbers else {}
        vectorizer = TableVectorizer(**scaled)
        if not model:
            return vectorizer.fit(table), table
        boosting = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5)
        return make_pipeline(vectorizer, boosting).fit(table, table["count"]), table

    parts = [numbers or "passthrough", "with text" * text, "into boosting" * model]
    name = f"TableVectorizer {' '.join(p for p in parts if p)}"
    return Example(name, make, native=not text)


def examples() -> Iterator[Example]:
    """Numbers as they are and scaled, a column that is dropped, a model behind, and a column of text."""
    if importlib.util.find_spec("skrub") is None:
        return
    yield _example()
    yield _example("scaled")
    yield _example(model=True)
    yield _example(text=True)
