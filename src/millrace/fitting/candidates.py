"""Candidates of a search on every fold: the steps before the last are fitted once for all that have them.

Fifty ridges after one scaler are fifty pipelines. Each fold's transformers are one object in all of them;
only the last step is copied for each.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from millrace.fitting.tasks import After
from millrace.solvers.rows import Fit, Rows, signature
from millrace.solvers.sklearn.compose import takes_series
from millrace.statistics.base import digest


@dataclass
class Entry:
    """One candidate on one fold.

    Attributes
    ----------
    fit : Fit
        The whole estimator, and the rows that it is fitted on.
    request : Fit or After
        What fits it.
    prefix : Prefix, optional
        The steps before its last, where other candidates share them.
    """

    fit: Fit
    request: Fit | After
    prefix: Prefix | None = None

    def last_rows(self) -> Rows | None:
        """The rows that the last step is fitted on, once those before it are; None where not known."""
        if self.prefix is not None:
            return self.prefix.rows_after()
        return None if hasattr(self.fit.step, "steps") else self.fit.rows


@dataclass
class Prefix:
    """The steps of a pipeline before its last, for one fold."""

    fit: Fit
    name: str
    _after: list[Rows] = field(default_factory=list)

    @property
    def steps(self) -> list[tuple[str, Any]]:
        return self.fit.step.steps[:-1]

    def rows_after(self) -> Rows:
        """What they make of the rows; they have to be fitted."""
        if not self._after:
            rows = self.fit.rows.unweighted()
            for name, step in self.steps:
                if step is not None and step != "passthrough":
                    rows = rows.through(step, Fit(step, rows.at(name)).key)
            self._after.append(replace(rows, weighted=self.fit.rows.weighted).at(self.name))
        return self._after[0]


def entries(candidates: Sequence[Any], parts: Sequence[Rows]) -> list[list[Entry]]:
    """Copies of every candidate for every part of the rows.

    Parameters
    ----------
    candidates : sequence of estimators
        Not changed.
    parts : sequence of Rows
        The rows without each fold.

    Returns
    -------
    list of list of Entry
        For each candidate, one entry a part.
    """
    prefixes: dict[str, list[Prefix]] = {}
    signatures: dict[int, str] = {}
    return [_of_candidate(c, parts, prefixes, signatures) for c in candidates]


def _of_candidate(
    candidate: Any,
    parts: Sequence[Rows],
    prefixes: dict[str, list[Prefix]],
    signatures: dict[int, str],
) -> list[Entry]:
    if not _has_prefix(candidate):
        from sklearn.base import clone

        fits = [Fit(clone(candidate), rows) for rows in parts]
        return [Entry(fit, fit) for fit in fits]
    name, last = candidate.steps[-1]
    for _, step in candidate.steps[:-1]:
        if id(step) not in signatures:
            signatures[id(step)] = signature(step)
    key = digest([name, [(n, signatures[id(s)]) for n, s in candidate.steps[:-1]]])
    if key not in prefixes:
        prefixes[key] = [_prefix(candidate, rows) for rows in parts]
    found: list[Entry] = []
    tails = _clones(last, len(parts))
    for prefix, rows, tail in zip(prefixes[key], parts, tails, strict=True):
        whole = copy.copy(candidate)
        whole.steps = [*prefix.steps, (name, tail)]
        found.append(Entry(Fit(whole, rows), _after(prefix, tail), prefix))
    return found


def _clones(estimator: Any, n: int) -> list[Any]:
    """As scikit-learn clones it; with hundreds of candidates its checks of every parameter are felt."""
    from sklearn.base import clone

    held = vars(estimator)
    known = type(estimator).__module__.startswith("sklearn.")
    plain = all(v is None or isinstance(v, (int, float, str, np.generic)) for v in held.values())
    if known and plain and held.keys() == estimator.get_params(deep=False).keys():
        return [copy.copy(estimator) for _ in range(n)]
    return [clone(estimator) for _ in range(n)]


def _after(prefix: Prefix, tail: Any) -> After:
    return After(prefix.fit, lambda: Fit(tail, prefix.rows_after()))


def _prefix(candidate: Any, rows: Rows) -> Prefix:
    """The steps before the last, cloned."""
    from sklearn.base import clone
    from sklearn.pipeline import Pipeline

    candidate._validate_steps()
    name = candidate.steps[-1][0]
    copied: Any = clone(Pipeline([*candidate.steps[:-1], (name, "passthrough")]))
    return Prefix(Fit(copied, rows), name)


def _has_prefix(candidate: Any) -> bool:
    """Whether it is a Pipeline whose last step can be fitted apart from the others."""
    from sklearn.pipeline import Pipeline

    if type(candidate) is not Pipeline or candidate.transform_input is not None:
        return False
    *first, (_, last) = candidate.steps
    whole = last is not None and last != "passthrough" and hasattr(last, "fit")
    return whole and bool(first) and not any(takes_series(step) for _, step in first)


def with_params(estimator: Any, params: dict[str, Any]) -> Any:
    """A clone with these parameters, of which estimators are cloned too.

    Where they are all of a pipeline's last step, the steps before it are the estimator's own: `entries`
    clones them.
    """
    from sklearn.base import clone

    cloned = {name: clone(value, safe=False) for name, value in params.items()}
    if _has_prefix(estimator):
        name, last = estimator.steps[-1]
        start = f"{name}__"
        if all(p.startswith(start) for p in params):
            copied = copy.copy(estimator)
            tail: Any = clone(last)
            tail.set_params(**{p.removeprefix(start): v for p, v in cloned.items()})
            copied.steps = [*estimator.steps[:-1], (name, tail)]
            return copied
    whole: Any = clone(estimator)
    return whole.set_params(**cloned)
