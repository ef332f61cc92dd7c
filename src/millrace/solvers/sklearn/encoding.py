"""OneHotEncoder, OrdinalEncoder, TargetEncoder, LabelEncoder, LabelBinarizer.

One sweep gathers the distinct values of every column with their counts; scikit-learn's own ``fit`` then
runs on a clone and on rows that hold each distinct value once, with the counts of all rows put in where
it asks for them (`min_frequency`, `max_categories`). So categories, their order and dtype, infrequent
ones, dropped ones and every error are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._values import stand_in
from millrace.solvers.sklearn._working import Asking, is_sparse, learned, library, working_copy
from millrace.statistics.base import Batch, Statistic, numbers
from millrace.statistics.categories import Counted, Distinct, TargetSums
from millrace.statistics.classes import ClassCounts, Classes


@solves("sklearn.preprocessing.OneHotEncoder", "sklearn.preprocessing.OrdinalEncoder")
def encoder(estimator: Any, rows: Rows) -> Asking:
    """Categories of every column; exact, whatever the order of the rows."""
    work = working_copy(estimator)
    if is_sparse(rows.head):
        raise TypeError("Sparse data was passed, but dense data is required.")
    counted: tuple[Counted, ...] = yield rows.ask(Distinct(who=type(estimator).__name__))
    values = stand_in(counted, rows.head, rows.names)
    mapped = type(work)._fit_infrequent_category_mapping

    def with_counts_of_all_rows(n_samples: int, counts: Any, missing: Any) -> None:
        n_rows = int(counted[0].complete()[1].sum())
        mapped(work, n_rows, _counts(work, values, counted), missing)

    work._fit_infrequent_category_mapping = with_counts_of_all_rows
    work.fit(values)
    del work._fit_infrequent_category_mapping
    return learned(work)


def _counts(work: Any, values: Any, counted: tuple[Counted, ...]) -> list[np.ndarray]:
    """Rows of each category of `work`; values that are no category are left out."""
    from sklearn.utils._encode import _check_unknown, _encode

    columns, _, _ = work._check_X(values, ensure_all_finite="allow-nan")
    out: list[np.ndarray] = []
    for column, one, categories in zip(columns, counted, work.categories_, strict=True):
        seen = one.complete()[1]
        column = column[: len(seen)]
        known = _check_unknown(column, categories, return_mask=True)[1]
        codes = _encode(column[known], uniques=categories, check_unknown=False)
        counts = np.zeros(len(categories), np.int64)
        np.add.at(counts, codes, seen[known])
        out.append(counts)
    return out


@dataclass(frozen=True)
class TargetKind:
    """The answer of `KindOfTarget`.

    Attributes
    ----------
    classes : ClassCounts, optional
        None for a target with fractions.
    n, mean, m2 : int, float, float
        Moments of a target of numbers; 0 for labels.
    """

    classes: ClassCounts | None
    n: int = 0
    mean: float = 0.0
    m2: float = 0.0


@dataclass(frozen=True)
class KindOfTarget(Statistic[TargetKind, TargetKind]):
    """Whether the target has fractions; its classes where it has none; its moments.

    Attributes
    ----------
    classes : bool
        Whether classes are wanted (they are as many as rows where the target is continuous).
    """

    classes: bool = True

    def of(self, batch: Batch) -> TargetKind:
        try:
            y = numbers(batch.y, "target").astype(np.float64, copy=False)
        except TypeError:
            return TargetKind(Classes().of(batch), len(batch))
        if np.isnan(y).any():
            missing = np.isnan(y)
            row = int(batch.row_numbers()[np.argmax(missing)])
            raise FitError.missing_target(row, int(missing.sum()))
        mean = float(y.mean())
        gaps = y - mean
        moments = (len(y), mean + float(gaps.mean()), float(gaps @ gaps))
        whole = self.classes and bool((y == np.floor(y)).all())
        return TargetKind(Classes().of(batch) if whole else None, *moments)

    def merge(self, left: TargetKind, right: TargetKind) -> TargetKind:
        classes = None
        if left.classes is not None and right.classes is not None:
            classes = Classes().merge(left.classes, right.classes)
        n, delta = left.n + right.n, right.mean - left.mean
        mean = left.mean + delta * (right.n / n)
        m2 = left.m2 + right.m2 + delta * delta * (left.n * (right.n / n))
        return TargetKind(classes, n, mean, m2)

    def finish(self, state: TargetKind) -> TargetKind:
        return state


@solves("sklearn.preprocessing.TargetEncoder")
def target_encoder(estimator: Any, rows: Rows) -> Asking:
    """``fit``: the encodings of all rows, from sums of deviations from the target's mean.

    ``fit_transform``, which encodes the training rows crosswise by folds, is not reproduced; a pipeline
    that would hand such rows on declines.
    """
    work = working_copy(estimator)
    kind: TargetKind = yield rows.ask(KindOfTarget(work.target_type != "continuous"))
    type_, classes = _type_of(kind, work.target_type)
    n = kind.n
    if classes is None:
        shift, mean, variance = np.array([kind.mean]), np.array([kind.mean]), kind.m2 / n
        spread = np.array([variance])
    else:
        counts = kind.classes.counts if kind.classes is not None else np.empty(0)
        shares = (counts[1:] if type_ == "binary" else counts) / counts.sum()
        shift, mean, spread = np.zeros(len(shares)), shares, shares * (1 - shares)
    counted = yield rows.ask(TargetSums(shift, classes, "TargetEncoder"))
    values = stand_in(counted, rows.head, rows.names)
    work._fit(values, handle_unknown="ignore", ensure_all_finite="allow-nan")
    codes, _ = work._transform(values, handle_unknown="ignore", ensure_all_finite="allow-nan")
    encodings: list[np.ndarray] = []
    for j, one in enumerate(counted):
        _, seen, sums = one.complete()
        found = _Sums.of(codes[: len(seen), j], seen, sums, len(work.categories_[j]))
        encodings += _encodings(found, shift, mean, spread, work.smooth)
    work.target_type_, work.classes_, work.encodings_ = type_, classes, encodings
    work.target_mean_ = mean if type_ == "multiclass" else mean[0]
    return learned(work)


def _type_of(kind: TargetKind, wanted: str) -> tuple[str, np.ndarray | None]:
    """``target_type_`` and ``classes_``, from what the target is, as scikit-learn infers it."""
    from sklearn.preprocessing import LabelEncoder

    if kind.classes is None:
        if wanted in ("binary", "multiclass"):
            raise Decline("its target has fractions, which it is to take as labels")
        return "continuous", None
    classes: Any = LabelEncoder().fit(kind.classes.classes).classes_
    inferred = "binary" if len(classes) <= 2 else "multiclass"
    found = inferred if wanted == "auto" else wanted
    if found != inferred or len(classes) < 2:
        raise Decline(f"its target has {len(classes)} classes and it takes it as {found}")
    return found, classes


@dataclass(frozen=True)
class _Sums:
    """Rows, and sums of the shifted target and its square, of each category."""

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, seen: np.ndarray, sums: np.ndarray, n: int) -> _Sums:
        counts, out = np.zeros(n), np.zeros((n, sums.shape[1]))
        np.add.at(counts, codes, seen)
        np.add.at(out, codes, sums)
        half = sums.shape[1] // 2
        return cls(counts, out[:, :half], out[:, half:])


def _encodings(
    found: _Sums, shift: np.ndarray, mean: np.ndarray, spread: np.ndarray, smooth: Any
) -> list[np.ndarray]:
    """The encodings of one column, one array for each column of the target."""
    counts, out = found.counts, []
    with np.errstate(invalid="ignore", divide="ignore"):
        for k in range(len(mean)):
            sums = found.sums[:, k]
            if smooth == "auto":
                means = sums / counts
                squares = np.maximum(found.squares[:, k] - sums * means, 0.0)
                part = spread[k] * counts / (spread[k] * counts + squares / counts)
                encoding = part * (means + shift[k]) + (1 - part) * mean[k]
                out.append(np.where(np.isnan(part), mean[k], encoding))
            else:
                gap = mean[k] - shift[k]
                encoding = (sums + smooth * gap) / (counts + smooth) + shift[k]
                out.append(np.where(counts + smooth == 0, mean[k], encoding))
    return out


@solves("sklearn.preprocessing.LabelEncoder", "sklearn.preprocessing.LabelBinarizer")
def labels(estimator: Any, rows: Rows) -> Asking:
    """The distinct labels of the only column."""
    work = working_copy(estimator)
    if rows.head is not None and getattr(rows.head, "ndim", 2) == 2 and rows.width != 1:
        raise Decline("it takes one column of labels")
    counted: tuple[Counted, ...] = yield rows.ask(Distinct(who=type(estimator).__name__))
    values = stand_in(counted, rows.head, rows.names)
    work.fit(values.iloc[:, 0] if hasattr(values, "iloc") else values[:, 0])
    return learned(work)


def _cells(kind: str) -> Any:
    """150 rows of words, numbers, booleans or dates, some missing."""
    import pandas as pd

    rng = np.random.default_rng(5)
    n = 150
    words = rng.choice(["ash", "birch", "cedar", "Äpfel", "fig"], n, p=[0.5, 0.3, 0.1, 0.06, 0.04])
    whole = rng.integers(-2, 3, n)
    if kind == "numbers":
        return np.column_stack([whole, rng.integers(0, 9, n)]).astype(float)
    if kind == "objects":
        return np.column_stack([words.astype(object), whole.astype(object)])
    table = pd.DataFrame({"tree": words, "whole": whole, "flag": rng.random(n) < 0.3})
    if kind == "missing":
        table = table.drop(columns="flag").astype({"whole": float})
        table.loc[rng.random(n) < 0.1, "tree"] = np.nan
        table.loc[rng.random(n) < 0.1, "whole"] = np.nan
    return table


def _case(name: str, kind: str, estimator: Any, target: str = "") -> Example:
    def make() -> Any:
        rng = np.random.default_rng(9)
        y = {
            "": None,
            "continuous": rng.normal(1e3, 1, 150),
            "binary": rng.choice(["no", "yes"], 150),
            "multiclass": rng.integers(0, 4, 150),
        }[target]
        return estimator, _cells(kind), y

    return Example(name, make)


def examples() -> Iterator[Example]:
    """Every kind of column, and every way to treat rare, unknown, missing and given categories."""
    p = library("sklearn.preprocessing")
    OneHotEncoder, OrdinalEncoder = p.OneHotEncoder, p.OrdinalEncoder
    TargetEncoder = p.TargetEncoder
    for kind in ("words", "missing", "numbers", "objects"):
        yield _case(f"OneHotEncoder, {kind}", kind, OneHotEncoder())
        yield _case(f"OrdinalEncoder, {kind}", kind, OrdinalEncoder(encoded_missing_value=-1))
    trees = [["fig", "birch", "cedar", "ash", "Äpfel"], [-2, -1, 0, 1, 2], [False, True]]
    few = [["ash", "birch"], [0, 1], [False]]
    for name, given in {
        "at least 20": {"min_frequency": 20, "handle_unknown": "infrequent_if_exist"},
        "at least a fifth": {"min_frequency": 0.2, "sparse_output": False},
        "at most 3": {"max_categories": 3, "handle_unknown": "ignore"},
        "drop first": {"drop": "first"},
        "drop if binary": {"drop": "if_binary", "dtype": np.float32},
        "drop named": {"drop": np.array(["fig", 0, False], object)},
        "categories": {"categories": trees},
        "few categories": {"categories": few, "handle_unknown": "ignore"},
    }.items():
        yield _case(f"OneHotEncoder, {name}", "words", OneHotEncoder(**given))
    unknown = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    yield _case("OrdinalEncoder, unknown", "missing", OrdinalEncoder(**unknown))
    yield _case("OrdinalEncoder, rare", "missing", OrdinalEncoder(max_categories=3, **unknown))
    yield _case("OrdinalEncoder, categories", "words", OrdinalEncoder(categories=few, **unknown))
    for target in ("continuous", "binary", "multiclass"):
        yield _case(f"TargetEncoder, {target}", "missing", TargetEncoder(), target)
        yield _case(f"TargetEncoder, {target}, 5", "words", TargetEncoder(smooth=5), target)
    given = TargetEncoder(categories=few, smooth=0.0)
    yield _case("TargetEncoder, few categories", "words", given, "continuous")
