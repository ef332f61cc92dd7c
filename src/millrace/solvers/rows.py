"""What a solver sees of the data: where the rows come from, never the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

from millrace.statistics.base import Statistic, digest


@dataclass(frozen=True)
class Source:
    """The columns of the table that are not the target, a weight or a key."""

    columns: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        return f"table({digest(self.columns)})"


@dataclass(frozen=True)
class Chosen:
    """Some columns of a stage, by position."""

    parent: Stage
    columns: tuple[int, ...]

    @cached_property
    def key(self) -> str:
        return f"{self.parent.key}[{digest(self.columns)}]"


@dataclass(frozen=True)
class Through:
    """What a fitted transformer makes of a stage.

    Attributes
    ----------
    made_by : str
        How the transformer came about: equal parameters fitted on equal rows are one transformer.
    """

    parent: Stage
    transformer: Any = field(compare=False)
    made_by: str = ""

    @cached_property
    def key(self) -> str:
        return f"{self.parent.key}>{digest(self.made_by)}"


@dataclass(frozen=True)
class Beside:
    """Stages side by side, as ColumnTransformer and FeatureUnion put them.

    Attributes
    ----------
    sparse : bool
        Whether the result is CSR.
    """

    parts: tuple[Stage, ...]
    sparse: bool = False

    @cached_property
    def key(self) -> str:
        return f"beside{int(self.sparse)}({';'.join(p.key for p in self.parts)})"


Stage: TypeAlias = Source | Chosen | Through | Beside


@dataclass(frozen=True)
class Rows:
    """Rows at one place in a pipeline.

    Attributes
    ----------
    stage : Stage
        How the columns are made from the table.
    names : tuple of str, optional
        Column names, where the estimator would see a data frame.
    head : object
        The first few rows as the estimator would see them (NumPy, CSR or pandas), for column selectors
        and dtypes; None where they are not known yet.
    left_out, only : int, optional
        The fold that is not among the rows; the one fold that they are.
    weighted : bool
        Whether batches carry weights.
    target : bool
        Whether batches carry a target.
    n_rows : int, optional
        How many there are, where that is known.
    memory : int, optional
        The budget of the call in bytes; for solvers that keep something of every row.
    path : str
        Where the estimator stands: ``"pipeline/prep/num"``.
    memo : dict
        What transformers made of the first rows, shared by all rows of one call: hundreds of candidates
        may have one scaler.
    """

    stage: Stage
    names: tuple[str, ...] | None = None
    head: Any = field(default=None, compare=False)
    left_out: int | None = None
    only: int | None = None
    weighted: bool = False
    target: bool = True
    n_rows: int | None = None
    memory: int | None = field(default=None, compare=False)
    path: str = field(default="", compare=False)
    memo: dict[str, tuple[Through, Any]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """Equal for equal rows."""
        return f"{self.stage.key} -{self.left_out} +{self.only} w{int(self.weighted)}"

    @property
    def width(self) -> int | None:
        """Number of columns, where it is known; a series is one."""
        if self.head is None:
            return None
        return int(self.head.shape[1]) if self.head.ndim > 1 else 1

    def ask(self, statistic: Statistic[Any, Any]) -> Ask:
        """Request a statistic of these rows."""
        return Ask(self, statistic)

    def fit(self, step: Any, name: str = "") -> Fit:
        """Request another estimator, fitted on these rows; `name` extends the path."""
        return Fit(step, self.at(name), self.path)

    def at(self, name: str) -> Rows:
        """The same rows, for an estimator further in."""
        return replace(self, path="/".join(p for p in (self.path, name) if p))

    def unweighted(self) -> Rows:
        """The same rows without weights."""
        return replace(self, weighted=False) if self.weighted else self

    def chosen(self, columns: Sequence[int]) -> Rows:
        """Some of the columns."""
        from_all = tuple(int(c) for c in columns)
        head = self.head
        if head is not None:
            head = (
                head.iloc[:, list(from_all)] if hasattr(head, "iloc") else head[:, list(from_all)]
            )
        names = None if self.names is None else tuple(self.names[c] for c in from_all)
        return replace(self, stage=Chosen(self.stage, from_all), names=names, head=head)

    def through(self, fitted: Any, made_by: str) -> Rows:
        """What a fitted transformer makes of these rows; `made_by` as in `Through`."""
        if made_by not in self.memo:
            head: Any = None if self.head is None else fitted.transform(self.head)
            self.memo[made_by] = Through(self.stage, fitted, made_by), head
        stage, head = self.memo[made_by]
        names = tuple(map(str, head.columns)) if hasattr(head, "columns") else None
        return replace(self, stage=stage, names=names, head=head)


@dataclass(frozen=True)
class Ask:
    """A request for a statistic."""

    rows: Rows
    statistic: Statistic[Any, Any]


@dataclass(frozen=True)
class Fit:
    """A request for a fitted estimator; the answer is a `Fitted`.

    Attributes
    ----------
    asked_by : str
        The path of the estimator that asks.
    """

    step: Any
    rows: Rows
    asked_by: str = field(default="", compare=False)

    @cached_property
    def key(self) -> str:
        """Equal for equal parameters on equal rows."""
        return f"{signature(self.step)}@{self.rows.key}"


@dataclass(frozen=True)
class Fitted:
    """The answer to a `Fit` request.

    Attributes
    ----------
    estimator : object
    request : Fit
    """

    estimator: Any
    request: Fit

    @cached_property
    def rows(self) -> Rows:
        """What its ``transform`` makes of the rows that it was fitted on."""
        made = self.request.rows.through(self.estimator, self.request.key)
        return replace(made, path=self.request.asked_by)


def signature(estimator: Any) -> str:
    """Equal for estimators of one class with equal parameters."""
    return digest(estimator)


Request: TypeAlias = Ask | Fit
