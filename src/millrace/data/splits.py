"""Which fold a row belongs to: the same in every sweep, for any size of batches and any process."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data.hashing import below, hashes_of, mixed, unit
from millrace.errors import MissingColumnsError, SplitError

MOST_CLASSES = 10_000
"""More values than this and a target is not one of classes."""

_RATIO = 0.6180339887498949
"""Multiples of the golden ratio, modulo 1, are spread more evenly than those of any other number."""


@dataclass(frozen=True)
class _Split:
    """What folds and a held-out part have in common.

    Attributes
    ----------
    seed : int
    key : str, optional
        A column; rows with the same value of it stay together.
    stratify : bool
        Deal the rows of every class evenly.
    """

    seed: int = field(default=0, kw_only=True)
    key: str | None = field(default=None, kw_only=True)
    stratify: bool = field(default=False, kw_only=True)
    _dealt: _Dealt = field(
        default_factory=lambda: _Dealt(), init=False, repr=False, compare=False, kw_only=True
    )

    def __post_init__(self) -> None:
        if self.key is not None and self.stratify:
            raise ValueError("A split goes by a key column or is stratified, not both.")

    def of(
        self, first: int, n: int, batch: pa.RecordBatch | None = None, target: Any = None
    ) -> np.ndarray:
        """The part of each row of a batch.

        Parameters
        ----------
        first : int
            Number of its first row in the table.
        n : int
            Rows of the batch.
        batch : pyarrow.RecordBatch, optional
            Needed for a key column.
        target : pyarrow.Array or numpy.ndarray, optional
            Needed for strata; then the batches have to come in order the first time.

        Returns
        -------
        numpy.ndarray of int8
            (n,)

        Raises
        ------
        SplitError
            What the split needs is not given.
        MissingColumnsError
            The table has no such key column.
        """
        if self.stratify:
            return self._dealt.of(self, first, n, target)
        if self.key is not None:
            return self._by_hash(mixed(self._values(batch), self.seed))
        return self._by_hash(mixed(np.arange(first, first + n), self.seed))

    @property
    def n_dealt(self) -> float:
        """Rows, from the first one on, of which the part is known; infinite where each goes by itself."""
        return self._dealt.n_rows if self.stratify else float("inf")

    def _values(self, batch: pa.RecordBatch | None) -> np.ndarray:
        if batch is None or self.key is None:
            raise SplitError.needs(f"the column {self.key!r}")
        if self.key not in batch.schema.names:
            raise MissingColumnsError.of([self.key], batch.schema.names)
        return hashes_of(batch.column(self.key), self.key)

    def _by_hash(self, hashes: np.ndarray) -> np.ndarray:
        """The part that a hash stands for: int8."""
        raise NotImplementedError

    def _by_turn(self, turn: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The part of the row that is number `turn` of its class, whose hash is `label`: int8."""
        raise NotImplementedError


@dataclass(frozen=True)
class Folds(_Split):
    """A number of folds; row by row by a hash of the row's number.

    Attributes
    ----------
    n : int
        Number of folds, 2 to 127.
    seed : int
    key : str, optional
        A column; all rows with the same value of it are in the same fold (groups).
    stratify : bool
        The rows of every class are dealt evenly: of any n that follow each other, each fold gets one.
    given : numpy.ndarray of int8, optional
        The fold of every row; see `contiguous` and `from_splitter`.

    Examples
    --------
    >>> Folds(5).of(first=0, n=8)
    array([...], dtype=int8)
    >>> Folds.contiguous(3, n_rows=7).of(first=2, n=4)
    array([0, 1, 1, 2], dtype=int8)
    """

    n: int
    given: np.ndarray | None = field(default=None, repr=False, compare=False, kw_only=True)
    fingerprint: str = field(default="", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.n <= 127:
            raise ValueError(f"Expected 2 to 127 folds, got {self.n}.")
        if self.given is not None:
            digest = hashlib.blake2b(self.given.tobytes(), digest_size=8)
            object.__setattr__(self, "fingerprint", digest.hexdigest())

    @classmethod
    def contiguous(cls, n: int, n_rows: int) -> Folds:
        """Folds of rows that follow each other, as ``sklearn.model_selection.KFold(n)`` makes them."""
        if n > n_rows:
            raise ValueError(f"Expected at least {n} rows for {n} folds, got {n_rows}.")
        sizes = np.full(n, n_rows // n)
        sizes[: n_rows % n] += 1
        return cls(n, given=np.repeat(np.arange(n, dtype=np.int8), sizes))

    @classmethod
    def from_splitter(cls, cv: Any, n_rows: int, y: Any = None, groups: Any = None) -> Folds:
        """The folds of a scikit-learn splitter.

        Parameters
        ----------
        cv : splitter, or iterable of (train, test) row numbers
        n_rows : int
        y, groups : array-like, optional
            (n_rows,), where the splitter needs them.

        Raises
        ------
        SplitError
            The test parts overlap or leave rows out, or a training part is not all the other rows.
        """
        name = type(cv).__name__
        splits: Iterable[Any] = cv
        if hasattr(cv, "split"):
            splits = cv.split(np.zeros((n_rows, 1)), y, groups)
        given = np.full(n_rows, -1, np.int8)
        count = 0
        for train, test in splits:
            train, test = _positions(train, n_rows), _positions(test, n_rows)
            if count == 127:
                raise SplitError.not_a_partition(name, "it makes more than 127 folds")
            if (given[test] >= 0).any():
                row = int(test[np.argmax(given[test] >= 0)])
                raise SplitError.not_a_partition(name, f"row {row} is in several test folds")
            if len(train) + len(test) != n_rows or np.isin(test, train).any():
                why = f"the training rows of fold {count} are not all the others"
                raise SplitError.not_a_partition(name, why)
            given[test] = count
            count += 1
        if (given < 0).any():
            row = int(np.argmax(given < 0))
            raise SplitError.not_a_partition(name, f"row {row} is in no test fold")
        return cls(count, given=given)

    def of(
        self, first: int, n: int, batch: pa.RecordBatch | None = None, target: Any = None
    ) -> np.ndarray:
        """The fold of each row of a batch, as `_Split.of`."""
        if self.given is None:
            return super().of(first, n, batch, target)
        if first + n > len(self.given):
            raise SplitError.needs(f"at most {len(self.given):,} rows, which it was made for,")
        return self.given[first : first + n]

    def _by_hash(self, hashes: np.ndarray) -> np.ndarray:
        return below(hashes, self.n).astype(np.int8)

    def _by_turn(self, turn: np.ndarray, label: np.ndarray) -> np.ndarray:
        # Every n rows of a class are one round, which begins with a fold of its own.
        round_, place = np.divmod(turn, self.n)
        shift = below(mixed(label ^ mixed(round_), self.seed), self.n)
        return ((place + shift) % self.n).astype(np.int8)


@dataclass(frozen=True)
class TrainTest(_Split):
    """Rows to learn from (0) and rows held out (1).

    Attributes
    ----------
    test_fraction : float
        Share of the rows held out, in expectation; of each class, to within one row, if stratified.
    seed, key, stratify
        As of `Folds`.

    Examples
    --------
    >>> int(TrainTest(0.25).of(first=0, n=10_000).sum())
    2...
    """

    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"Expected a test_fraction within 0 and 1, got {self.test_fraction}.")

    @property
    def n(self) -> int:
        """Two parts: leaving out part 1 leaves the rows to learn from."""
        return 2

    def _by_hash(self, hashes: np.ndarray) -> np.ndarray:
        return (unit(hashes) < self.test_fraction).astype(np.int8)

    def _by_turn(self, turn: np.ndarray, label: np.ndarray) -> np.ndarray:
        begin = unit(mixed(label, self.seed))
        return ((begin + turn * _RATIO) % 1.0 < self.test_fraction).astype(np.int8)


class _Dealt:
    """The parts that stratified rows were given, and how many rows each class had so far."""

    def __init__(self) -> None:
        self._parts = np.zeros(0, np.int8)
        self.n_rows = 0
        self._counts: dict[int, int] = {}

    def of(self, split: _Split, first: int, n: int, target: Any) -> np.ndarray:
        if first + n > self.n_rows:
            if first != self.n_rows:
                raise SplitError.out_of_order(first, self.n_rows)
            self._append(split, n, target)
        return self._parts[first : first + n]

    def _append(self, split: _Split, n: int, target: Any) -> None:
        if target is None:
            raise SplitError.needs("the target")
        labels, codes, counts = np.unique(
            hashes_of(target), return_inverse=True, return_counts=True
        )
        before = np.array([self._counts.get(label, 0) for label in labels.tolist()])
        order = np.argsort(codes, kind="stable")
        turn = np.empty(n, np.int64)
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        turn[order] = np.arange(n) - starts
        parts = split._by_turn(turn + before[codes], labels[codes])
        self._counts |= zip(labels.tolist(), (before + counts).tolist(), strict=True)
        if len(self._counts) > MOST_CLASSES:
            raise SplitError.no_classes(MOST_CLASSES)
        if self.n_rows + n > len(self._parts):  # doubled, so that appending stays linear
            grown = np.zeros(max(2 * len(self._parts), self.n_rows + n), np.int8)
            grown[: self.n_rows] = self._parts[: self.n_rows]
            self._parts = grown
        self._parts[self.n_rows : self.n_rows + n] = parts
        self.n_rows += n


def _positions(rows: Any, n_rows: int) -> np.ndarray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool and len(rows) == n_rows else rows
