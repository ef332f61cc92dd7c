"""Any estimator with `partial_fit`: fed batch by batch, in the order of the rows."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._labels import check_classes
from millrace.solvers.sklearn._working import learned
from millrace.statistics.base import Batch, Columns, OrderedStatistic
from millrace.statistics.classes import Classes
from millrace.statistics.collect import frame, labels


@dataclass
class Taught:
    """An estimator on its way through the rows.

    Attributes
    ----------
    estimator : object
    loss : float
        Sum over the rows of the loss that `PartialFit.loss` names, each taken before or while the row
        was learned from.
    n_rows : int
    """

    estimator: Any
    loss: float = 0.0
    n_rows: int = 0


@dataclass(frozen=True)
class PartialFit(OrderedStatistic[Taught, Taught]):
    """One sweep of ``partial_fit``.

    Attributes
    ----------
    before : bytes
        The pickled estimator, unfitted or as an earlier sweep left it.
    classes : numpy.ndarray, optional
        Passed to classifiers.
    epoch : int
        Number of the sweep.
    loss : callable, optional
        ``(estimator, X, y, weight) -> float``, the mean loss of a batch; called before the estimator
        learns from it, and after where its name is ``loss_``.
    """

    before: bytes
    classes: np.ndarray | None = None
    epoch: int = 0
    loss: Any = field(default=None, compare=False)

    def start(self) -> Taught:
        return Taught(pickle.loads(self.before))

    def step(self, state: Taught, prepared: Batch) -> Taught:
        estimator, y = state.estimator, labels(prepared.y)
        X = _block(prepared)
        known = inspect.signature(estimator.partial_fit).parameters
        options: dict[str, Any] = {}
        if self.classes is not None and "classes" in known:
            options["classes"] = self.classes
        if prepared.weight is not None and "sample_weight" in known:
            options["sample_weight"] = prepared.weight
        if self.loss is not None and (state.n_rows or self.epoch):
            state.loss += len(prepared) * self.loss(estimator, X, y, prepared.weight)
        arguments = (X,) if y is None else (X, y)
        estimator.partial_fit(*arguments, **options)
        if self.loss is None and hasattr(estimator, "loss_"):
            state.loss += len(prepared) * float(estimator.loss_)
        state.n_rows += len(prepared)
        return state

    def finish(self, state: Taught) -> Taught:
        return state


def by_partial_fit(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """The fitted attributes after one ordered sweep; a classifier's classes take one more, before.

    Not what ``fit`` gives where that makes several passes: the answer is that of ``partial_fit`` on the
    same batches.
    """
    from sklearn.base import clone

    work: Any = clone(estimator)
    classes = None
    if rows.target and "classes" in inspect.signature(work.partial_fit).parameters:
        found = yield rows.ask(Classes())
        check_classes(estimator, found)
        classes = found.classes
    taught: Taught = yield rows.ask(PartialFit(pickle.dumps(work), classes))
    return learned(taught.estimator)


def by_epochs(
    work: Any, rows: Rows, classes: np.ndarray | None, loss: Any = None
) -> Generator[Any, Any, tuple[Any, int, bool]]:
    """Sweeps until the mean loss has not fallen by ``tol`` for ``n_iter_no_change`` of them.

    Returns
    -------
    tuple
        The estimator, the number of sweeps, and whether the loss had settled.
    """
    best, idle = np.inf, 0
    patience = getattr(work, "n_iter_no_change", 5)
    for epoch in range(work.max_iter):
        asked = PartialFit(pickle.dumps(work), classes, epoch, loss)
        taught: Taught = yield rows.ask(asked)
        work = taught.estimator
        mean = taught.loss / max(taught.n_rows, 1)
        if work.tol is None:
            continue
        idle = idle + 1 if mean > best - work.tol else 0
        best = min(best, mean)
        if idle >= patience:
            return work, epoch + 1, True
    return work, work.max_iter, work.tol is None


def _block(batch: Batch) -> Any:
    if isinstance(batch.X, Columns):
        try:
            return batch.matrix
        except TypeError:
            return frame(batch.X)
    return batch.X
