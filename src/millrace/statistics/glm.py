"""Loss, gradient and Hessian of a linear model, for several coefficient vectors in one pass."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.errors import FitError
from millrace.statistics.base import Batch, Columns, Statistic, check_finite, numbers
from millrace.statistics.losses import Loss, Multinomial, Terms

BLOCK_BYTES = 1 << 20
"""A block of rows as float64 stays in the L2 cache."""

BLOCK_ROWS = 1 << 13
"""Rows of a block at most: what a loss makes of them stays in the cache too."""

SMALL_PRODUCT = 14
"""Columns up to which a general product is faster than a symmetric one of half the work: of so few,
BLAS makes it without copying its operands."""


@dataclass(frozen=True)
class Labels:
    """How a target of classes becomes the y of a loss.

    Attributes
    ----------
    classes : numpy.ndarray
        Sorted labels (n_classes,).
    weights : numpy.ndarray of float64, optional
        Weights of the classes (n_classes,), multiplied into those of the rows.
    positive : int, optional
        y is 1 for this class and 0 for all others; None: y is the position of the class.
    """

    classes: np.ndarray
    weights: np.ndarray | None = None
    positive: int | None = None


@dataclass(frozen=True)
class Sums:
    """The answer of `GLM`, for all rows; all sums are weighted.

    Attributes
    ----------
    loss : numpy.ndarray of float64
        (n_candidates,)
    gradient : numpy.ndarray of float64
        (n_candidates, n_outputs, n_parameters)
    hessian : numpy.ndarray of float64, optional
        Of the first candidate: (n_outputs * n_parameters, n_outputs * n_parameters), symmetric.
    weight : float
        Sum of the weights.
    n_rows : int
    """

    loss: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray | None
    weight: float
    n_rows: int


@dataclass(frozen=True)
class GLM(Statistic[Sums, Sums]):
    """Sums of a loss and of its derivatives by the coefficients.

    The parameters of one output are the coefficients of the columns, then that of a constant column
    (where `intercept` is not zero), then the scale (for a loss that has one).

    Attributes
    ----------
    loss : Loss
    coef : numpy.ndarray of float64
        (n_candidates, n_outputs, n_parameters); n_outputs is 1 but for `Multinomial`.
    labels : Labels, optional
        For classes; without it the target is a number.
    intercept : float
        Value of the constant column; 0 for none.
    center : numpy.ndarray of float64, optional
        Subtracted from every row before anything else (n_features,); dense rows only.
    hessian : bool
        Whether the Hessian at the first candidate is wanted.
    who : str
        The class whose name stands in errors about rows that are not finite; empty: they are known to be.
    """

    loss: Loss
    coef: np.ndarray
    labels: Labels | None = None
    intercept: float = 1.0
    center: np.ndarray | None = None
    hessian: bool = False
    who: str = "GLM"

    def of(self, batch: Batch) -> Sums:
        if self.who and batch.is_sparse:
            check_finite(batch, self.who)
        y, weight = self._target(batch)
        n_outputs, width = self.coef.shape[1:]
        loss = np.zeros(len(self.coef))
        gradient = np.zeros(self.coef.shape)
        hessian = np.zeros((n_outputs * width,) * 2) if self.hessian else None
        sums = Sums(
            loss,
            gradient,
            hessian,
            float(len(batch)) if weight is None else float(weight.sum()),
            len(batch),
        )
        blocks = self._sparse(batch.matrix) if batch.is_sparse else self._dense(batch)
        for first, last, rows in blocks:
            some = None if weight is None else weight[first:last]
            self._add(sums, rows, y[first:last], some)
        if hessian is not None:
            low = np.tril_indices(len(hessian), -1)
            hessian[low] = hessian.T[low]
        return sums

    def merge(self, left: Sums, right: Sums) -> Sums:
        return Sums(
            left.loss + right.loss,
            left.gradient + right.gradient,
            None if left.hessian is None else left.hessian + right.hessian,
            left.weight + right.weight,
            left.n_rows + right.n_rows,
        )

    def finish(self, state: Sums) -> Sums:
        return state

    def _target(self, batch: Batch) -> tuple[np.ndarray, np.ndarray | None]:
        """Y as the loss wants it, and the weights of the rows."""
        if self.labels is None:
            y = batch.target.reshape(len(batch))
            if not np.isfinite(y).all():
                raise _bad_target(batch, y)
            self.loss.check(y)
            return y, batch.weight
        if self.labels.positive is not None and self.labels.weights is None:
            values = _plain(batch.y, self.labels.classes)
            if values is not None:
                return values == self.labels.classes[self.labels.positive], batch.weight
        codes = batch.codes(self.labels.classes)
        weight = batch.weight
        if self.labels.weights is not None:
            of_class = self.labels.weights[codes]
            weight = of_class if weight is None else weight * of_class
        if self.labels.positive is None:
            return codes, weight
        return (codes == self.labels.positive).astype(np.float64), weight

    def _dense(self, batch: Batch) -> Iterator[tuple[int, int, _DenseRows]]:
        """Blocks of rows as float64; where they are copied, they share one buffer.

        Columns stay columns there, rows stay rows: a transposed copy would cost more than the sums.
        """
        columns = _columns(batch)
        X: Any = batch.matrix if columns is None else columns
        n, p, outputs = len(batch), batch.n_features, self.coef.shape[1]
        inside = int(outputs > 1 and self.intercept != 0)  # the constant is a column of the block
        size = BLOCK_BYTES // (8 * (p + inside) * max(1, outputs // 2))
        size = max(32, min(n, BLOCK_ROWS, size))
        order: Any = "F" if columns is not None or np.isfortran(X) else "C"
        as_it_is = columns is None and X.dtype == np.float64 and self.center is None and not inside
        block = np.empty((0 if as_it_is else size, p + inside), order=order)
        block[:, p:] = self.intercept
        scratch = np.empty((size if self.hessian else 0, (p + inside) * outputs), order=order)
        for first in range(0, n, size):
            last = min(first + size, n)
            if as_it_is:
                rows = X[first:last]
            else:
                rows = block[: last - first]
                self._fill(rows[:, :p], X, first, last)
            if self.who and not np.isfinite(rows.sum()):
                check_finite(batch, self.who)
            constant = 0.0 if inside else self.intercept
            more = _DenseRows(rows, constant, self.loss.has_scale, scratch[: last - first])
            yield first, last, more

    def _fill(self, out: np.ndarray, X: Any, first: int, last: int) -> None:
        """Some rows of a matrix or of columns as float64, centred where that is asked for."""
        if isinstance(X, list):
            for j, column in enumerate(X):
                out[:, j] = column[first:last]
        else:
            out[:] = X[first:last]
        if self.center is not None:
            out -= self.center

    def _sparse(self, X: Any) -> Iterator[tuple[int, int, _SparseRows]]:
        size = 1 << 14
        for first in range(0, X.shape[0], size):
            last = min(first + size, X.shape[0])
            yield first, last, _SparseRows(X[first:last], self.intercept, self.loss.has_scale)

    def _add(self, sums: Sums, rows: Any, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Add one block to the sums, in place."""
        if not self.loss.n_codes:
            y = np.asarray(y, np.float64)
        for k, coef in enumerate(self.coef):
            z = rows.predictor(coef)
            scale = float(coef[0, -1])
            terms = self.loss.terms(
                z if isinstance(self.loss, Multinomial) else z[:, 0], y, weight, scale
            )
            sums.loss[k] += terms.value
            slope = terms.slope if terms.slope.ndim == 2 else terms.slope[:, None]
            sums.gradient[k] += rows.gradient(slope)
            if self.loss.has_scale:
                sums.gradient[k, 0, -1] += terms.extra_slope
            if k == 0 and sums.hessian is not None:
                rows.add_hessian(sums.hessian, terms)


@dataclass(frozen=True)
class _DenseRows:
    """A block of float64 (n_samples, n_columns), and room for weighted copies.

    For one output, the constant column (`constant`, where not zero) and that of the scale are not
    stored: rows of an even width, which need no copy, are worth more than the sums spared.
    """

    rows: np.ndarray
    constant: float
    has_scale: bool
    scratch: np.ndarray

    def predictor(self, coef: np.ndarray) -> np.ndarray:
        if len(coef) > 1:
            return self.rows @ coef.T
        p = self.rows.shape[1]
        z = self.rows @ coef[0, :p]
        if self.constant:
            z += self.constant * coef[0, p]
        return z[:, None]

    def gradient(self, slope: np.ndarray) -> np.ndarray:
        return slope.T @ self.rows if slope.shape[1] > 1 else self._sums(slope[:, 0])[None]

    def _sums(self, weight: np.ndarray) -> np.ndarray:
        """Weighted sums of the columns, with those of the constant and the scale (0)."""
        found = [weight @ self.rows]
        if self.constant:
            found.append(np.array([self.constant * weight.sum()]))
        if self.has_scale:
            found.append(np.zeros(1))
        return np.concatenate(found) if len(found) > 1 else found[0]

    def add_hessian(self, out: np.ndarray, terms: Terms) -> None:
        if terms.proba is not None:
            self._add_multinomial(out, terms.proba, terms.curve)
            return
        p, some = self.rows.shape[1], self.scratch
        if p <= SMALL_PRODUCT or terms.curve.min() < 0:
            np.multiply(self.rows, terms.curve[:, None], out=some)
            out[:p, :p] += some.T @ self.rows
        else:
            np.multiply(self.rows, np.sqrt(terms.curve)[:, None], out=some)
            out[:p, :p] += some.T @ some
        if self.constant:
            self._add_border(out, p, terms.curve, self.constant)
        if terms.extra is not None:
            border = self._sums(terms.curve * terms.extra)
            border[-1] = float(terms.curve @ (terms.extra * terms.extra))
            out[-1] += border
            out[:-1, -1] += border[:-1]

    def _add_border(self, out: np.ndarray, at: int, curve: np.ndarray, value: float) -> None:
        """The products of the constant column with all before it and with itself."""
        border = value * (curve @ self.rows)
        out[at, :at] += border
        out[:at, at] += border
        out[at, at] += value * value * curve.sum()

    def _add_multinomial(self, out: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> None:
        """Block (c, d) of the Hessian is the Gram with weights ``p_c (1[c = d] - p_d)``."""
        n, width = self.rows.shape
        root = np.sqrt(weight)[:, None]
        spread = self.scratch.reshape(n, proba.shape[1], width)
        np.multiply((proba * root)[:, :, None], self.rows[:, None, :], out=spread)
        out -= self.scratch.T @ self.scratch
        for c in range(proba.shape[1]):
            own = self.rows * (np.sqrt(proba[:, c, None]) * root)
            at = slice(c * width, (c + 1) * width)
            out[at, at] += own.T @ own


@dataclass(frozen=True)
class _SparseRows:
    """Some CSR rows (n_samples, n_features), with a constant column that is not stored."""

    rows: Any
    intercept: float
    has_scale: bool

    def predictor(self, coef: np.ndarray) -> np.ndarray:
        p = self.rows.shape[1]
        z = self.rows @ np.ascontiguousarray(coef[:, :p].T)
        if self.intercept:
            z += self.intercept * coef[:, p]
        return z

    def gradient(self, slope: np.ndarray) -> np.ndarray:
        parts = [(self.rows.T @ slope).T]
        if self.intercept:
            parts.append(self.intercept * slope.sum(axis=0)[:, None])
        if self.has_scale:
            parts.append(np.zeros((1, 1)))
        return np.concatenate(parts, axis=1)

    def add_hessian(self, out: np.ndarray, terms: Terms) -> None:
        """Add to the upper triangle of `out`."""
        p = self.rows.shape[1] + int(self.intercept != 0)
        if terms.proba is None:
            self._add_gram(out[:p, :p], terms.curve)
            if terms.extra is not None:
                column = self.gradient((terms.curve * terms.extra)[:, None])[0]
                out[:p, -1] += column[:p]
                out[-1, -1] += float(terms.curve @ (terms.extra * terms.extra))
            return
        n_classes = terms.proba.shape[1]
        for c in range(n_classes):
            mine = terms.proba[:, c] * terms.curve
            for d in range(c, n_classes):
                pair = mine * (float(c == d) - terms.proba[:, d])
                block = np.zeros((p, p))
                self._add_gram(block, pair)
                if c != d:
                    block += np.triu(block, 1).T
                out[c * p : (c + 1) * p, d * p : (d + 1) * p] += block

    def _add_gram(self, out: np.ndarray, weight: np.ndarray) -> None:
        from millrace.statistics.kernels.glm import add_sparse_gram

        X = self.rows
        add_sparse_gram(
            X.indptr, X.indices, X.data, np.ascontiguousarray(weight), self.intercept, out
        )


def _columns(batch: Batch) -> list[np.ndarray] | None:
    """The columns of a table as numbers; None for a matrix."""
    if not isinstance(batch.X, Columns):
        return None
    try:
        return [numbers(a, n) for a, n in zip(batch.X.arrays, batch.X.names, strict=True)]
    except TypeError:
        return list(batch.matrix.T)  # raises with the first cell that is no number


def _plain(y: Any, classes: np.ndarray) -> np.ndarray | None:
    """A target of numbers as an array that can be compared with a class; None for any other."""
    if isinstance(y, (pa.Array, pa.ChunkedArray)):
        if y.null_count or not (pa.types.is_integer(y.type) or pa.types.is_floating(y.type)):
            return None
        y = y.to_numpy()
    return y if y.dtype.kind in "biuf" and classes.dtype.kind in "biuf" else None


def _bad_target(batch: Batch, y: np.ndarray) -> FitError:
    at = int(np.argmax(~np.isfinite(y)))
    row = int(batch.row_numbers()[at])
    if np.isnan(y[at]):
        return FitError.missing_target(row, int(np.isnan(y).sum()))
    return FitError.non_finite_target(row)
