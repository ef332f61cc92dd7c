"""Scores of held-out rows: predictions are gathered in a sweep, the metrics are scikit-learn's."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from millrace.compiler.build import compile
from millrace.errors import MillraceError
from millrace.solvers.rows import Ask, Fit
from millrace.statistics.base import Batch, Statistic
from millrace.statistics.collect import labels


@dataclass(frozen=True)
class Predicted:
    """Answers of an estimator beside the truth.

    Attributes
    ----------
    answers : mapping of str to numpy.ndarray
        Method -> what it returned for all rows.
    y : numpy.ndarray, optional
    """

    answers: Mapping[str, np.ndarray]
    y: np.ndarray | None


@dataclass(frozen=True)
class Predictions(Statistic[tuple[Any, ...], Predicted]):
    """What a fitted estimator answers for the rows.

    Attributes
    ----------
    made_by : str
        How the estimator came about; see `solvers.rows.Through`.
    methods : tuple of str
    estimator : object
    """

    made_by: str
    methods: tuple[str, ...]
    estimator: Any = field(compare=False)

    @cached_property
    def _model(self) -> Any:
        """Compiled where that pays: a linear model is one product either way."""
        if hasattr(self.estimator, "coef_"):
            return self.estimator
        try:
            return compile(self.estimator, verify=False)
        except MillraceError:
            return self.estimator

    def of(self, batch: Batch) -> tuple[Any, ...]:
        from millrace.fitting.stages import as_rows, as_table, quiet_names

        original = self._model is self.estimator
        rows = as_rows(batch.X) if original else as_table(batch.X)
        found = quiet_names(lambda: {m: getattr(self._model, m)(rows) for m in self.methods})
        return ((found, labels(batch.y)),)

    def merge(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        return left + right

    def finish(self, state: tuple[Any, ...]) -> Predicted:
        answers = {m: np.concatenate([found[m] for found, _ in state]) for m in self.methods}
        y = None if state[0][1] is None else np.concatenate([y for _, y in state])
        return Predicted(answers, y)


def scorers_of(estimator: Any, scoring: Any) -> dict[str, Any]:
    """Name -> scorer; the one without a name is called ``score``."""
    from sklearn.metrics import check_scoring

    found = check_scoring(estimator, scoring)
    several = getattr(found, "_scorers", None)
    return dict(several) if several is not None else {"score": found}


def methods_of(estimator: Any, scorers: Mapping[str, Any]) -> tuple[str, ...]:
    """The methods that scorers call; each may name several of which the first present one counts."""
    found: list[str] = []
    for scorer in scorers.values():
        wanted = getattr(scorer, "_response_method", "predict")
        options = ["predict"] if wanted == "default" else np.atleast_1d(wanted).tolist()
        found += [next((m for m in options if hasattr(estimator, m)), "predict")]
    return tuple(dict.fromkeys(found))


def predictions(request: Fit, methods: tuple[str, ...], only: int | None) -> Ask:
    """The request for what a fitted estimator answers for one fold (or for its own rows).

    The steps of a Pipeline before the last become stages, so candidates that share them share the work.
    """
    estimator, rows = request.step, request.rows
    for name, step in _steps(estimator):
        inner = Fit(step, rows.at(name))
        rows = rows.through(step, inner.key) if step is not None else rows
    if only is not None:
        rows = replace(rows, left_out=None, only=only)
    return Ask(rows.unweighted(), Predictions(request.key, methods, last_step(estimator)))


def _steps(estimator: Any) -> Sequence[tuple[str, Any]]:
    """The transformers of a Pipeline, None for those that pass rows on."""
    steps = getattr(estimator, "steps", None)
    if steps is None:
        return ()
    return [(n, None if s in (None, "passthrough") else s) for n, s in steps[:-1]]


def last_step(estimator: Any) -> Any:
    """The last step of a Pipeline, or the estimator itself."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def scores(request: Fit, scorers: Mapping[str, Any], predicted: Predicted) -> dict[str, float]:
    """Every scorer on what was predicted.

    The scorers get a copy of the estimator whose methods return the answers that were gathered.
    """
    answered = copy.copy(last_step(request.step))
    for method, answer in predicted.answers.items():
        setattr(answered, method, _Returns(answer, method))
    anything = np.empty((len(next(iter(predicted.answers.values()))), 0))
    return {name: float(s(answered, anything, predicted.y)) for name, s in scorers.items()}


@dataclass
class _Returns:
    """A method that returns what it was made with."""

    answer: np.ndarray
    __name__: str

    def __call__(self, X: Any) -> np.ndarray:
        return self.answer
