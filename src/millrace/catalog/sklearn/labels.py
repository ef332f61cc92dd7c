"""Encoders of labels: one cell a row in, numbers or indicators out.

Semantics matched: ``sklearn/preprocessing/_label.py`` of scikit-learn 1.9.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, vector
from millrace.catalog.sklearn.discretizing import as_sparse
from millrace.catalog.sklearn.target_encoding import numbered
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value
from millrace.ir.ops import Dense, Features
from millrace.ir.program import Column


def _one_series(source: Any) -> list[Column]:
    return [Column("x0", kind="any")]


@converts("sklearn.preprocessing.LabelEncoder", series=True, columns=_one_series)
def label_encoder(encoder: Any, x: Value, context: Context) -> Outputs:
    """The position of each label in ``classes_``; other labels are refused.

    Numbers are converted to the dtype of ``classes_`` first, as in the source.

    Exactness: the same bits. Missing values: NaN and None are labels when ``fit`` saw them, and
    refused otherwise. Stricter than the source: where ``classes_`` is an array of fixed-width text, the
    source cuts longer labels to that width before it looks for them; here they are refused.

    Declines: labels that are neither all text nor all numbers, and whole numbers from 2**53 on.
    """
    classes = np.asarray(encoder.classes_)
    if classes.dtype.kind in "biuf":
        x = x.cast(classes.dtype.name)
    return {"transform": vector(x.encode(numbered(classes, True, "x0")).cast("int64"))}


@converts("sklearn.preprocessing.LabelBinarizer", series=True, columns=_one_series)
def label_binarizer(binarizer: Any, x: Value, context: Context) -> Outputs:
    """One indicator column a class, in int64; an unknown label has none.

    Narrow integer labels give int64 as well, where the source keeps their dtype.

    Exactness: the same values. Missing values: refused, like numbers that are not whole. The source takes
    NaN for the text "nan" where it is given a list of texts instead of an array.

    Declines: multi-label targets; one or two classes, for which the source answers with one column or
    two as the batch holds two different labels or more; labels as in `LabelEncoder`.
    """
    classes = np.asarray(binarizer.classes_)
    if binarizer.y_type_.startswith("multilabel"):
        raise Decline("it was fitted on multi-label indicators")
    if len(classes) < 3:
        raise Decline("how wide its answer is for one or two classes depends on the batch")
    if classes.dtype.kind in "biuf":
        x = x.guard("LabelBinarizer")
        ok, problem = x.equals(x.apply("trunc")), "a label that is not whole"
    else:
        ok, problem = x.is_missing("none").apply("logical_not"), "a missing label"
    codes = x.encode(numbered(classes)).require(ok, "LabelBinarizer", problem)
    table = np.full((len(classes) + 1, len(classes)), binarizer.neg_label, np.int64)
    np.fill_diagonal(table, binarizer.pos_label)
    block = codes.gather(Array(table))
    return {"transform": as_sparse(block) if binarizer.sparse_output else block}


@converts(
    "sklearn.preprocessing.MultiLabelBinarizer",
    series=True,
    columns=lambda source: [Column("x0", kind="object")],
)
def multi_label_binarizer(binarizer: Any, x: Value, context: Context) -> Outputs:
    """One indicator column a class: which labels a cell holds, be it a set, a list or a text.

    Exactness: the same values. Unknown labels are passed over (the source warns).

    Declines: classes that are neither all text nor all integers.
    """
    classes = list(binarizer.classes_)
    names: Text | Array
    if classes and all(isinstance(c, str) for c in classes):
        names = Text(tuple(str(c) for c in classes))
    elif all(isinstance(c, (int, np.integer)) and not isinstance(c, bool) for c in classes):
        names = Array(np.array(classes, np.int64))
    else:
        raise Decline("its classes are neither all text nor all integers")
    block = x.then(Features("set", names, len(classes), dtype="int64"))
    return {"transform": as_sparse(block) if binarizer.sparse_output else block.then(Dense())}


# -- examples ------------------------------------------------------------------------------


_LABELS: dict[str, Any] = {
    "int": [3, -1, 7, 3],
    "text": ["b", "ä", "Z", ""],
    "two": [5, 2],
    "two texts": ["yes", "no"],
    "bool": [False, True],
    "float": [0.0, 2.0, -1.0],
}


def _fitted(name: str, labels: str, dtype: Any = None, **params: Any) -> tuple[Any, Any]:
    import sklearn.preprocessing

    values = np.array(_LABELS[labels], dtype)
    y = values[np.random.default_rng(0).integers(0, len(values), 40)]
    y[: len(values)] = values
    return getattr(sklearn.preprocessing, name)(**params).fit(y), y


def _sets(labels: str, unknown: bool = False, **params: Any) -> tuple[Any, Any]:
    import sklearn.preprocessing

    rng = np.random.default_rng(0)
    known = _LABELS[labels][:3]
    cells = [{known[i] for i in rng.integers(0, len(known), rng.integers(0, 4))} for _ in range(40)]
    fitted = sklearn.preprocessing.MultiLabelBinarizer(**params).fit(cells)
    if unknown:
        cells[3] = {*cells[3], 99 if labels == "int" else "unseen"}
    return fitted, cells


def examples() -> Iterator[Example]:
    """Numbers and text, two classes and more, marks other than 0 and 1, both containers."""
    for labels, values in _LABELS.items():
        several = len(values) > 2
        dtype: Any = object if "text" in labels else None
        yield Example(f"LabelEncoder {labels}", partial(_fitted, "LabelEncoder", labels, dtype))
        if "text" in labels:  # the source answers otherwise for lists than for arrays
            continue
        yield Example(
            f"LabelBinarizer {labels}",
            partial(_fitted, "LabelBinarizer", labels, dtype),
            native=several,
        )
        signs = {"neg_label": -1, "pos_label": 2}
        yield Example(
            f"LabelBinarizer {labels} marks",
            partial(_fitted, "LabelBinarizer", labels, dtype, **signs),
            native=several,
        )
        yield Example(
            f"LabelBinarizer {labels} sparse",
            partial(_fitted, "LabelBinarizer", labels, dtype, sparse_output=True),
            native=several,
        )
    yield Example("LabelEncoder fixed width", partial(_fitted, "LabelEncoder", "text"))
    yield Example(
        "LabelBinarizer pos=0", partial(_fitted, "LabelBinarizer", "int", neg_label=-2, pos_label=0)
    )
    for labels in ("int", "text"):
        yield Example(f"MultiLabelBinarizer {labels}", partial(_sets, labels))
        yield Example(
            f"MultiLabelBinarizer {labels} sparse", partial(_sets, labels, sparse_output=True)
        )
    yield Example("MultiLabelBinarizer unknown", partial(_sets, "int", unknown=True))
