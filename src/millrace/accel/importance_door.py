"""The door of ``permutation_importance`` of trees: what a permuted column does not touch is kept.

The permutations are drawn, and the predictions scored, by scikit-learn's own code. Only the predictions
come from here: those of all repeats of many columns at once, from one walk of each row through each tree.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.accel import costs
from millrace.accel.answer_door import check_config
from millrace.accel.calls import TOO_SMALL, Call, Done, NotHere
from millrace.accel.doors import opens_function, public_name_of

A_LEVEL, GAIN = 3e-9, 3.0
"""Seconds that scikit-learn needs at least for one row in one level of a tree, and how much faster it is
here at least."""

LEAST = 2e-2
"""Seconds of scikit-learn from which on a call gains."""

BYTES = 1 << 27
"""Memory of predictions that are kept at once; with more, columns are taken in several parts."""

MOST_NODES = 4_000_000
"""Trees with more nodes are not packed: 64 bytes of each are copied on the way."""

SAMPLE = 64
"""Rows that are answered by scikit-learn too, for each method that a scorer calls."""

_CONSTANT = ("prior", "most_frequent", "mean", "median", "quantile", "constant")
"""Strategies of initial predictors that do not look at the rows."""

_METHODS = ("predict", "predict_proba", "decision_function")

_Sums = npt.NDArray[np.float64]


class _Model:
    """What is common to the models: their trees, and their answers from sums of leaves.

    Parameters
    ----------
    estimator : object
    """

    methods: Sequence[str] = ("predict",)
    n_outputs = 1

    def __init__(self, estimator: Any) -> None:
        self.own = estimator

    def trees(self) -> tuple[list[Any], list[int], float]:
        """The trees, the first output of each, and the factor of their values."""
        return [one.tree_ for one in self.own.estimators_], [0] * len(self.own.estimators_), 1.0

    def initial(self, X: npt.NDArray[np.float32]) -> _Sums:
        return np.zeros((len(X), self.n_outputs))

    def answer(self, method: str, sums: _Sums) -> Any:
        """What a method returns for rows with these sums, float64 (n_rows, n_outputs)."""
        return sums.ravel() / len(self.own.estimators_)


class _ForestClassifier(_Model):
    methods = ("predict", "predict_proba")

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self.n_outputs = int(estimator.n_classes_)

    def answer(self, method: str, sums: _Sums) -> Any:
        shares = sums / len(self.own.estimators_)
        if method == "predict_proba":
            return shares
        return self.own.classes_.take(np.argmax(shares, axis=1), axis=0)


class _Boosting(_Model):
    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self.n_outputs = estimator.estimators_.shape[1]
        first = estimator.init_
        looks = getattr(first, "strategy", None) not in _CONSTANT
        if (type(first).__module__ != "sklearn.dummy" or looks) and not isinstance(first, str):
            raise NotHere("an initial predictor of its own")

    def trees(self) -> tuple[list[Any], list[int], float]:
        stages = self.own.estimators_
        targets = np.broadcast_to(np.arange(stages.shape[1]), stages.shape)
        trees = [one.tree_ for one in stages.ravel()]
        return trees, targets.ravel().tolist(), self.own.learning_rate

    def initial(self, X: npt.NDArray[np.float32]) -> _Sums:
        return self.own._raw_predict_init(X)

    def answer(self, method: str, sums: _Sums) -> Any:
        return sums.ravel()


class _BoostingClassifier(_Boosting):
    methods = _METHODS

    def answer(self, method: str, sums: _Sums) -> Any:
        raw = sums.ravel() if self.n_outputs == 1 else sums
        if method == "decision_function":
            return raw
        if method == "predict_proba":
            return self.own._loss.predict_proba(raw)
        codes = (raw >= 0).astype(int) if raw.ndim == 1 else np.argmax(raw, axis=1)
        return self.own.classes_[codes]


_MODELS: Mapping[str, Callable[[Any], _Model]] = {
    "sklearn.ensemble.RandomForestClassifier": _ForestClassifier,
    "sklearn.ensemble.ExtraTreesClassifier": _ForestClassifier,
    "sklearn.ensemble.RandomForestRegressor": _Model,
    "sklearn.ensemble.ExtraTreesRegressor": _Model,
    "sklearn.ensemble.GradientBoostingClassifier": _BoostingClassifier,
    "sklearn.ensemble.GradientBoostingRegressor": _Boosting,
}


@dataclass
class _Drawn:
    """The rows whose columns are permuted, as scikit-learn draws them.

    Attributes
    ----------
    rows : int64 (n_samples,) or None
        Those of `X`; None for all.
    order : int64 (n_repeats, n_samples)
        Where among them the permuted values come from.
    """

    rows: npt.NDArray[np.int64] | None
    order: npt.NDArray[np.int64]


class _StandIn:
    """A copy of the model whose methods answer from sums, for one object `X` alone.

    A scorer of scikit-learn does nothing with the rows but to pass them on, so it gets the same
    object each time.

    Parameters
    ----------
    model : _Model
    X : table-like
    """

    def __init__(self, model: _Model, X: Any) -> None:
        self.model, self.X = model, X
        self.sums: _Sums = np.empty((0, 0))
        self.base: _Sums = self.sums
        self.estimator = copy.copy(model.own)
        self._proved: set[str] = set()
        for method in model.methods:
            vars(self.estimator)[method] = self._named(method)

    def _named(self, method: str) -> Callable[[Any], Any]:
        def answer(X: Any) -> Any:
            return self._answer(method, X)

        answer.__name__ = method  # scorers tell methods apart by it
        return answer

    def _answer(self, method: str, X: Any) -> Any:
        if X is not self.X:
            raise NotHere("its scorer asks for other rows")
        if method not in self._proved:
            self._prove(method)
        return self.model.answer(method, self.sums)

    def accuracy(self, y: Any, _: object = None) -> float:
        """The share of right predictions; `accuracy_score` spends its time on checks."""
        return float(np.mean(y == self.model.answer("predict", self.sums)))

    def _prove(self, method: str) -> None:
        """Compare a few answers for rows as they are with scikit-learn's own."""
        few = self.X.iloc[:SAMPLE] if hasattr(self.X, "iloc") else self.X[:SAMPLE]
        theirs = getattr(self.model.own, method)(few)
        ours = self.model.answer(method, self.base[:SAMPLE])
        if theirs.dtype != ours.dtype or not np.array_equal(theirs, ours):
            raise NotHere("sums of its trees differ from its own answers")
        self._proved.add(method)


@opens_function("sklearn.inspection.permutation_importance")
def importance(call: Call) -> Done:
    """Walk each row through each tree once for many permuted columns."""
    given = call.kwargs
    model = _model_of(call.estimator)
    X = _checked(call.estimator, given["X"])
    n_samples = _n_samples(given["max_samples"], len(X))
    expected = _worth(model, n_samples, X.shape[1] * given["n_repeats"])
    from sklearn.utils import check_random_state

    source = check_random_state(given["random_state"])
    state = source.get_state()
    try:
        seed = source.randint(np.iinfo(np.int32).max + 1)
        drawn = _draw(seed, len(X), n_samples, given["n_repeats"])
        found = _importances(model, X, drawn, given)
    except Exception as error:
        source.set_state(state)
        if isinstance(error, NotHere):
            raise
        # mostly the data or the scorer are at fault: scikit-learn raises its own error
        raise NotHere(f"{type(error).__name__} while scoring") from error
    return Done(found, *X.shape, estimated=expected)


def _model_of(estimator: Any) -> _Model:
    make = _MODELS.get(public_name_of(type(estimator)))
    if make is None or not type(estimator).__module__.startswith("sklearn."):
        raise TOO_SMALL  # its predictions have doors of their own
    own = vars(estimator)
    if "estimators_" not in own or getattr(estimator, "n_outputs_", 1) != 1 or estimator.verbose:
        raise NotHere("not fitted, several outputs, or verbose", quiet=True)
    if own.keys() & {*_METHODS, "score"}:
        raise NotHere("methods of its own")
    check_config()
    return make(estimator)


def _checked(estimator: Any, X: Any) -> npt.NDArray[np.float32]:
    """The rows as trees read them: float32, all of them finite."""
    names = getattr(estimator, "feature_names_in_", None)
    if type(X).__module__.startswith("pandas") and hasattr(X, "columns"):
        if names is None or X.columns.tolist() != names.tolist() or len(set(X.dtypes)) != 1:
            raise NotHere("the columns of X are not those of the fit, or of several types")
        rows = X.to_numpy()
    elif type(X) is np.ndarray and names is None:
        rows = X
    else:
        raise NotHere(f"X is a {type(X).__name__} with or without names, other than in the fit")
    if rows.ndim != 2 or rows.dtype.char not in "fd" or not len(rows):
        raise NotHere("X is not of float32 or float64", "a float array")
    if rows.shape[1] != estimator.n_features_in_:
        raise NotHere("X has other columns than in the fit")
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32)
    if not np.isfinite(single).all():
        raise NotHere("X has missing or infinite values")
    return single


def _n_samples(asked: Any, n_rows: int) -> int:
    n_samples = int(asked) if isinstance(asked, Integral) else int(asked * n_rows)
    if not 1 <= n_samples <= n_rows:
        raise NotHere("max_samples")
    return n_samples


def _worth(model: _Model, n_samples: int, n_scores: int) -> float:
    """Seconds that scikit-learn is expected to take at least."""
    sizes = np.array([tree.node_count for tree in model.trees()[0]])
    if sizes.sum() > MOST_NODES:
        raise NotHere(f"more than {MOST_NODES:,} nodes", quiet=True)
    expected = A_LEVEL * float(np.log2(sizes + 1).sum()) * n_samples * n_scores
    estimate = costs.Estimate(expected, expected / GAIN)
    if expected < LEAST or not costs.pays("", "permutation_importance", estimate):
        raise TOO_SMALL
    return expected


def _draw(seed: int, n_rows: int, n_samples: int, n_repeats: int) -> _Drawn:
    """What scikit-learn draws for each column; it is the same for all of them."""
    from sklearn.ensemble._bagging import _generate_indices

    random_state = np.random.RandomState(seed)
    rows = None
    if n_samples < n_rows:
        rows = _generate_indices(
            random_state=random_state, bootstrap=False, n_population=n_rows, n_samples=n_samples
        )
    shuffled, order = np.arange(n_samples), np.empty((n_repeats, n_samples), np.int64)
    now = np.arange(n_samples)
    for repeat in range(n_repeats):
        random_state.shuffle(shuffled)
        now = order[repeat] = now[shuffled]  # what was permuted before is permuted again
    return _Drawn(rows, order)


def _importances(
    model: _Model, X: npt.NDArray[np.float32], drawn: _Drawn, given: Mapping[str, Any]
) -> Any:
    from sklearn.inspection import _permutation_importance as theirs
    from sklearn.metrics import check_scoring
    from sklearn.utils import _safe_indexing

    from millrace.backends.numba.permuted import PackedTrees, keys_of

    scorer = check_scoring(model.own, scoring=given["scoring"])
    _check_scorer(scorer)
    trees = PackedTrees.of(*model.trees())
    keys, initial = keys_of(X), model.initial(X)
    stand_in = _StandIn(model, given["X"])
    score: Callable[[Any, Any], Any]
    score = partial(theirs._weights_scorer, scorer, stand_in.estimator, given["X"])
    y, weight = given["y"], given["sample_weight"]
    stand_in.sums = stand_in.base = trees.sums(keys, initial, drawn.order[:0])[-1]
    baseline = score(y, weight)
    if _is_accuracy(scorer, model, y, weight) and stand_in.accuracy(y) == baseline:
        score = stand_in.accuracy
    if (rows := drawn.rows) is not None:
        keys, initial, y = keys[rows], initial[rows], _safe_indexing(y, rows, axis=0)
        weight = None if weight is None else _safe_indexing(weight, rows, axis=0)
    scores = []
    for versions in _permuted(partial(trees.sums, keys, initial, drawn.order), X.shape, drawn):
        one = []
        for stand_in.sums in versions:
            one.append(score(y, weight))
        scores.append(theirs._aggregate_score_dicts(one) if isinstance(one[0], dict) else one)
    if isinstance(baseline, dict):
        return {
            name: theirs._create_importances_bunch(value, np.array([one[name] for one in scores]))
            for name, value in baseline.items()
        }
    return theirs._create_importances_bunch(baseline, np.array(scores))


def _permuted(
    sums: Callable[[Sequence[int]], _Sums], shape: tuple[int, ...], drawn: _Drawn
) -> Iterator[_Sums]:
    """For each column the sums of its repeats, float64 (n_repeats, n_samples, n_outputs)."""
    n_repeats, n_samples = drawn.order.shape
    at_once = max(BYTES // (8 * n_repeats * n_samples), 1)
    for first in range(0, shape[1], at_once):
        columns = range(first, min(first + at_once, shape[1]))
        found = sums(columns)
        for k in range(len(columns)):
            yield found[k * n_repeats : (k + 1) * n_repeats]


def _is_accuracy(scorer: Any, model: _Model, y: Any, weight: Any) -> bool:
    """Whether the score is the share of predictions that equal the target, and nothing is warned of."""
    from sklearn.base import ClassifierMixin

    return (
        type(scorer).__name__ == "_PassthroughScorer"
        and type(model.own).score is ClassifierMixin.score
        and weight is None
        and type(y) is np.ndarray
        and y.ndim == 1
        and y.dtype.kind in "iu"
        and y.dtype == model.own.classes_.dtype
        and 2 * len(model.own.classes_) <= len(y)
    )


def _check_scorer(scorer: Any) -> None:
    """Whether a scorer only asks for answers, and compares them with the target."""
    parts = getattr(scorer, "_scorers", None)
    each = [scorer] if parts is None else list(parts.values())
    kinds = ("_Scorer", "_PassthroughScorer")
    for one in (scorer, *each):
        known = type(one).__module__ == "sklearn.metrics._scorer"
        if not known or (one in each and type(one).__name__ not in kinds):
            raise NotHere("a scorer of its own", "make_scorer")
