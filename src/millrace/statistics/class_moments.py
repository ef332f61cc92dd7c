"""First and second moments of the rows of each class, in one sweep that need not know the classes.

Every state carries the labels that it met, sorted; states with other labels are joined label by label.
Sums are about the first row of each class in its batch, so a common offset cancels nothing: of 16 digits
at most log10((x - mean)**2 / variance) are lost, x being that row. Batches are joined as in
`millrace.statistics.gram`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic, check_finite, codes_of
from millrace.statistics.classes import distinct
from millrace.statistics.gram import Gram

_BLOCK_CELLS = 1 << 17


@dataclass(frozen=True)
class ByClass:
    """The answer of the statistics of this module.

    Attributes
    ----------
    classes : numpy.ndarray
        The labels, sorted, with the dtype that ``numpy.unique`` gives them (n_classes,).
    counts : numpy.ndarray of int64
        Rows of each class.
    weights : numpy.ndarray of float64
        Sum of the weights of each class; the counts where rows have no weights.
    shift, apart : numpy.ndarray of float64 (n_classes, n_features)
        The mean is their sum; apart from its offset it has more digits. For `ClassSums` their sum is
        that of the rows.
    second : numpy.ndarray of float64
        Weighted squares about the mean of the class: (n_classes, n_features) of `ClassMoments`,
        (n_classes, n_features, n_features) of `ClassScatter`, (n_features, n_features), the sum over
        the classes, of a pooled one; empty of `ClassSums`.
    dtype : numpy.dtype
        float32 where every batch was, else float64.
    sparse : bool
        Whether X was CSR.
    pooled : bool
        Whether `second` is summed over the classes.
    """

    classes: np.ndarray
    counts: np.ndarray
    weights: np.ndarray
    shift: np.ndarray
    apart: np.ndarray
    second: np.ndarray
    dtype: np.dtype[Any]
    sparse: bool
    pooled: bool = False

    @cached_property
    def mean(self) -> np.ndarray:
        """Weighted mean of each class (the sum, of `ClassSums`): (n_classes, n_features)."""
        return self.shift + self.apart

    @property
    def total_mean(self) -> np.ndarray:
        """Weighted mean of all rows: (n_features,)."""
        return self.weights @ self.mean / self.weights.sum()

    def aligned(self, classes: np.ndarray) -> ByClass:
        """The same for more labels; those without rows are zero."""
        if len(classes) == len(self.classes):
            return self
        at = codes_of(self.classes, classes)

        def spread(values: np.ndarray) -> np.ndarray:
            found = np.zeros((len(classes), *values.shape[1:]), values.dtype)
            found[at] = values
            return found

        each = not self.pooled and len(self.second)
        return replace(
            self,
            classes=classes,
            counts=spread(self.counts),
            weights=spread(self.weights),
            shift=spread(self.shift),
            apart=spread(self.apart),
            second=spread(self.second) if each else self.second,
        )

    def of_all(self) -> np.ndarray:
        """Weighted products about the mean of all rows, of a `ClassScatter`."""
        within = self.second if self.pooled else self.second.sum(axis=0)
        places = (self.shift - self.shift[0]) + self.apart
        centre = self.weights @ places / self.weights.sum()
        apart = (places - centre) * np.sqrt(self.weights)[:, None]
        return within + apart.T @ apart


def _together(left: ByClass, right: ByClass) -> tuple[ByClass, ByClass]:
    """Both with the labels of both."""
    same = len(left.classes) == len(right.classes) and (left.classes == right.classes).all()
    classes = left.classes if same else np.unique(np.concatenate([left.classes, right.classes]))
    return left.aligned(classes), right.aligned(classes)


def _shares(left: ByClass, right: ByClass) -> tuple[np.ndarray, np.ndarray]:
    """Weights of both, and the share of the right one; zero where both are."""
    weights = left.weights + right.weights
    return weights, np.divide(right.weights, weights, out=np.zeros_like(weights), where=weights > 0)


def _joined(
    left: ByClass,
    right: ByClass,
    weights: np.ndarray,
    share: np.ndarray,
    apart: np.ndarray,
    between: np.ndarray,
) -> ByClass:
    """The rows of both: `share` is the right one's of `weights`, `between` lies between the means."""
    known = left.weights[:, None] > 0
    return replace(
        left,
        counts=left.counts + right.counts,
        weights=weights,
        shift=np.where(known, left.shift, right.shift),
        apart=np.where(known, left.apart + apart * share[:, None], right.apart),
        second=left.second + right.second + between,
        dtype=np.result_type(left.dtype, right.dtype),
    )


def _between(left: ByClass, right: ByClass) -> np.ndarray:
    """From the mean of one to the mean of the other, with the digits of the difference."""
    return (right.shift - left.shift) + (right.apart - left.apart)


@dataclass(frozen=True)
class _OfClasses(Statistic[ByClass, ByClass]):
    """What the statistics of this module share."""

    who: str = field(default="The estimator", compare=False)

    def _begun(self, batch: Batch) -> tuple[ByClass, np.ndarray]:
        """The labels of a batch with their counts, and the code of every row."""
        if isinstance(batch.y, np.ndarray) and batch.y.ndim != 1:
            raise FitError.at("", self.who, f"one label a row is needed, found {batch.y.shape[1]}")
        classes = distinct(batch.y, batch.first)
        codes = batch.codes(classes)
        counts = np.bincount(codes, minlength=len(classes)).astype(np.int64)
        weights = counts.astype(np.float64)
        if batch.weight is not None:
            weights = np.bincount(codes, batch.weight, len(classes))
        X = batch.matrix
        dtype = np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
        empty = np.zeros((len(classes), X.shape[1]))
        parts = (empty, empty, empty[:0], dtype, batch.is_sparse)
        return ByClass(classes, counts, weights, *parts), codes

    def finish(self, state: ByClass) -> ByClass:
        return state


@dataclass(frozen=True)
class ClassMoments(_OfClasses):
    """Mean of every feature in every class, and the sum of squares about it.

    Relative error of a sum of squares: below 1e-12 for a million rows, whatever their offset. CSR rows
    are made dense in blocks.

    Raises
    ------
    FitError
        NaN or an infinity in X; a missing label.
    """

    def of(self, batch: Batch) -> ByClass:
        from millrace.statistics.kernels.by_class import class_sums

        begun, codes = self._begun(batch)
        X = batch.matrix
        shift, totals, squares = (np.zeros_like(begun.shift) for _ in range(3))
        seen = np.zeros(len(begun.classes), bool)
        none = np.empty(0)
        step = max(256, _BLOCK_CELLS // max(X.shape[1], 1))
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, len(batch), step):
                here = slice(first, first + step)
                block = X[here].toarray() if batch.is_sparse else np.ascontiguousarray(X[here])
                weight = none if batch.weight is None else batch.weight[here]
                one, two = np.zeros_like(shift), np.zeros_like(shift)
                class_sums(block, codes[here], weight, seen, shift, one, two)
                totals += one
                squares += two
            if not np.isfinite(squares.sum()):
                check_finite(batch, self.who)
            weights = begun.weights[:, None]
            apart = np.divide(totals, weights, out=np.zeros_like(totals), where=weights > 0)
        second = np.maximum(squares - apart * totals, 0.0)
        return replace(begun, shift=shift, apart=apart, second=second)

    def merge(self, left: ByClass, right: ByClass) -> ByClass:
        left, right = _together(left, right)
        weights, share = _shares(left, right)
        apart = _between(left, right)
        between = apart**2 * (left.weights * share)[:, None]
        return _joined(left, right, weights, share, apart, between)


@dataclass(frozen=True)
class ClassScatter(_OfClasses):
    """Mean of every class, and the products of all features about it.

    Attributes
    ----------
    pooled : bool
        Sum the products over the classes: the within-class scatter.
    centre, basis : numpy.ndarray of float64, optional
        As of `Gram`: ``(x - centre) @ basis`` in place of x.

    Notes
    -----
    Exact as `Gram`, of which it is one for each class.
    """

    pooled: bool = True
    centre: Any = None
    basis: Any = None

    def of(self, batch: Batch) -> ByClass:
        begun, codes = self._begun(batch)
        p = begun.shift.shape[1] if self.basis is None else self.basis.shape[1]
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(begun.counts)
        shift, apart = np.zeros((len(ends), p)), np.zeros((len(ends), p))
        each = np.zeros((1 if self.pooled else len(ends), p, p))
        gram = Gram(False, self.centre, self.basis, self.who)
        for k, end in enumerate(ends):
            at = order[end - begun.counts[k] : end]
            weight = None if batch.weight is None else batch.weight[at]
            part = Batch(batch.first, batch.matrix[at], None, weight, batch.row_numbers()[at])
            found = gram.of(part)
            shift[k], apart[k] = found.shift, found.apart
            each[0 if self.pooled else k] += found.scatter
        second = each[0] if self.pooled else each
        return replace(begun, shift=shift, apart=apart, second=second, pooled=self.pooled)

    def merge(self, left: ByClass, right: ByClass) -> ByClass:
        left, right = _together(left, right)
        weights, share = _shares(left, right)
        apart = _between(left, right)
        factor = left.weights * share
        if self.pooled:
            between = (apart * factor[:, None]).T @ apart
        else:
            between = np.einsum("k,ki,kj->kij", factor, apart, apart)
        return _joined(left, right, weights, share, apart, between)


@dataclass(frozen=True)
class ClassSums(_OfClasses):
    """Sum of every feature in every class, weighted; dense or CSR.

    Attributes
    ----------
    above : float, optional
        Sum, in place of x, one where x is above this.
    not_negative : bool
        Refuse numbers below zero.

    Raises
    ------
    ValueError
        A number below zero where they are refused, in the words of scikit-learn.
    FitError
        NaN or an infinity in X; a missing label.
    """

    above: float | None = None
    not_negative: bool = False

    def of(self, batch: Batch) -> ByClass:
        begun, codes = self._begun(batch)
        X = batch.matrix
        check_finite(batch, self.who)
        values = X.data if batch.is_sparse else X
        if self.not_negative and values.size and values.min() < 0:
            raise ValueError(f"Negative values in data passed to {self.who} (input X).")
        ones = np.ones(len(batch)) if batch.weight is None else batch.weight
        shape = (len(begun.classes), len(batch))
        rows = sp.csr_array((ones, (codes, np.arange(len(batch)))), shape=shape)
        if self.above is not None:
            X = _above(X, self.above)
        sums = rows @ X
        return replace(
            begun, apart=np.asarray(sums.toarray() if sp.issparse(sums) else sums, float)
        )

    def merge(self, left: ByClass, right: ByClass) -> ByClass:
        left, right = _together(left, right)
        return replace(
            left,
            counts=left.counts + right.counts,
            weights=left.weights + right.weights,
            apart=left.apart + right.apart,
            dtype=np.result_type(left.dtype, right.dtype),
        )


def _above(X: Any, threshold: float) -> Any:
    if not sp.issparse(X):
        return (threshold < X).astype(np.float64)
    if threshold < 0:
        raise ValueError("Cannot binarize a sparse matrix with threshold < 0")
    found: Any = X.copy()
    found.data = (found.data > threshold).astype(np.float64)
    return found


@dataclass(frozen=True)
class CategorySums:
    """The answer of `ClassCategories`.

    Attributes
    ----------
    rows : ByClass
        The labels with their counts and weights.
    counts : tuple of numpy.ndarray of float64
        For each feature the weight of every category in every class (n_classes, n_categories).
    """

    rows: ByClass
    counts: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class ClassCategories(Statistic[CategorySums, CategorySums]):
    """Weight of every category 0, 1, 2 ... of every feature in every class.

    Numbers with a fraction are cut to integers, as scikit-learn casts them.

    Raises
    ------
    ValueError
        A number below zero, in the words of scikit-learn.
    FitError
        NaN or an infinity; a category above ten million; a missing label.
    """

    who: str = field(default="CategoricalNB", compare=False)

    def of(self, batch: Batch) -> CategorySums:
        from millrace.statistics.kernels.by_class import category_sums

        begun, codes = _OfClasses._begun(ClassSums(), batch)
        check_finite(batch, self.who)
        if batch.is_sparse:
            raise TypeError("Sparse data was passed for X, but dense data is required.")
        X = batch.matrix
        if X.size and X.min() < 0:
            raise ValueError(f"Negative values in data passed to {self.who} (input X).")
        if X.size and X.max() > 10_000_000:
            raise FitError.at("", self.who, "a category above ten million is no category")
        weight = np.empty(0) if batch.weight is None else batch.weight
        found: list[np.ndarray] = []
        for j in range(X.shape[1]):
            column = X[:, j].astype(np.int64)
            counts = np.zeros((len(begun.classes), int(column.max()) + 1))
            category_sums(column, codes, weight, counts)
            found.append(counts)
        return CategorySums(begun, tuple(found))

    def merge(self, left: CategorySums, right: CategorySums) -> CategorySums:
        rows = ClassSums().merge(left.rows, right.rows)
        counts: list[np.ndarray] = []
        for one, two in zip(left.counts, right.counts, strict=True):
            found = np.zeros((len(rows.classes), max(one.shape[1], two.shape[1])))
            found[codes_of(left.rows.classes, rows.classes), : one.shape[1]] += one
            found[codes_of(right.rows.classes, rows.classes), : two.shape[1]] += two
            counts.append(found)
        return CategorySums(rows, tuple(counts))

    def finish(self, state: CategorySums) -> CategorySums:
        return state
