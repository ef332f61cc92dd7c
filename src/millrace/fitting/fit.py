"""``millrace.fit`` and ``millrace.plan``: one estimator, one table."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from millrace.data import Table, scan
from millrace.data.splits import Folds
from millrace.errors import FitError
from millrace.fitting.budget import as_bytes, check_budget
from millrace.fitting.checkpoint import Checkpoint
from millrace.fitting.engine import Engine, Progress
from millrace.fitting.keep import KeptTable
from millrace.fitting.plan import Plan, rehearse
from millrace.fitting.progress import progress_bar
from millrace.fitting.report import FitReport, keep_report, peak_memory
from millrace.fitting.source import Data, make_data
from millrace.fitting.sweep import FEW_CELLS, now
from millrace.fitting.tasks import After, Tasks
from millrace.fitting.ways import Allowed
from millrace.runtime.pool import get_threads, one_thread_of_blas
from millrace.solvers.rows import Fit, signature


def fit(
    estimator: Any,
    table: Any,
    target: Any = None,
    *,
    weight: Any = None,
    memory: str | int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    in_memory: bool = False,
    progress: bool | Progress = True,
) -> Any:
    """Fit a scikit-learn estimator from a table of any size.

    Parameters
    ----------
    estimator : object
        An estimator, Pipeline or ColumnTransformer; it is fitted in place.
    table : Table or table-like
        What `millrace.scan` takes: a path or pattern, a data frame, an Arrow table, an array ...
    target : str, list of str or array-like, optional
        The column to predict, or its values (n_samples,). The other columns are the features.
    weight : str or array-like, optional
        Sample weights, for the last step of a pipeline.
    memory : str or int, optional
        What the process may use, ``"2GB"`` or bytes; bounds the size of the batches.
    checkpoint : path-like, optional
        A folder. A fit that is stopped goes on from there when it is called again, and ends with the
        same bits. It holds pickles: continue only from a folder that you trust.
    in_memory : bool
        Load all rows for estimators that cannot be fitted batch by batch.
    progress : bool or Progress
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    object
        `estimator`. `millrace.fitting.fit_report` tells what was read and how long it took.

    Raises
    ------
    FitError
        The target is absent, has missing values or one class; the table is empty; a value is refused.
    NotStreamableError
        A step cannot be fitted batch by batch.
    MemoryBudgetError, CheckpointError, FileInputError

    Notes
    -----
    Exact: the fitted attributes are those of scikit-learn run to convergence on float64 data, within the
    bound that each solver states; the same bits for any number of threads.
    """
    with session(
        table, target, weight=weight, memory=memory, checkpoint=checkpoint,
        in_memory=in_memory, progress=progress, identity=_described(estimator),
    ) as run:  # fmt: skip
        run.fit([Fit(estimator, run.data.rows())])
    keep_report(estimator, run.report)
    return estimator


def fit_by_solvers(estimator: Any, X: Any, y: Any = None, weight: Any = None) -> None:
    """Fit from rows in memory as `fit` does, but by solvers alone, resident ones first.

    Raises
    ------
    NotStreamableError
        A step has no solver, or its solver declines.
    FitError
        As of `fit`.
    """
    with session(X, y, weight=weight, only_solvers=True, progress=False) as run:
        run.fit([Fit(estimator, run.data.rows())])


def plan(
    estimator: Any,
    table: Any,
    target: Any = None,
    *,
    weight: Any = None,
    memory: str | int | None = None,
    in_memory: bool = False,
) -> Plan:
    """What `fit` would read, and what for, found by a rehearsal on the first rows.

    Parameters
    ----------
    estimator, table, target, weight, memory, in_memory
        As of `fit`; the estimator is not changed.

    Returns
    -------
    Plan
        Prints as a list of sweeps. Solvers that iterate may need other numbers of them on all rows.
    """
    with session(
        table, target, weight=weight, memory=memory, in_memory=in_memory, progress=False
    ) as run:
        return rehearse(estimator, run.data, run.tasks.allowed)


def _described(estimator: Any) -> str:
    """An estimator as a checkpoint compares it and an error shows it."""
    return f"{' '.join(repr(estimator).split())} (parameters {signature(estimator)[:8]})"


@dataclass
class Session:
    """One call: the data, the engine and the estimators that are fitted together."""

    data: Data
    engine: Engine
    tasks: Tasks
    report: FitReport

    def fit(self, requests: Sequence[Fit | After]) -> None:
        """Fit estimators together; equal requests once."""
        self.tasks.run(requests, self.engine)


@contextmanager
def session(
    table: Any,
    target: Any = None,
    *,
    weight: Any = None,
    folds: Folds | None = None,
    memory: str | int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    in_memory: bool = False,
    only_solvers: bool = False,
    progress: bool | Progress = True,
    identity: str = "",
) -> Generator[Session]:
    """Open a table for fitting and close everything afterwards.

    With `only_solvers`, an estimator that would be fitted by its own methods is refused.
    """
    begun = now()
    opened = table if isinstance(table, Table) else scan(table)
    if opened.n_rows == 0:
        raise FitError.empty_table(opened.describe_source())
    budget, threads = as_bytes(memory), get_threads()
    data = make_data(opened, target, weight, folds, budget)
    if only_solvers and (opened.n_rows or FEW_CELLS) * max(len(data.features), 1) < FEW_CELLS:
        data = replace(data, chunk_rows=FEW_CELLS)  # in one chunk: there is nothing to share out
    check_budget(budget, data, threads)
    kept = KeptTable(opened, budget)
    data = replace(data, table=kept)
    log = None
    if checkpoint is not None:
        log = Checkpoint(checkpoint, {"the estimator": identity, **data.identity()})
    report, finished = FitReport(), False
    at_hand = opened.matrix is not None and budget is None and log is None
    allowed = Allowed(in_memory, at_hand or only_solvers, not only_solvers)
    with progress_bar(progress) as bar, one_thread_of_blas:
        try:
            engine = Engine(data, report, threads, log, bar)
            yield Session(data, engine, Tasks(allowed, report.notes), report)
            finished = True
        finally:
            kept.close()
            report.seconds = now() - begun
            report.peak_memory = peak_memory()
            if log is not None:
                log.close(finished)
