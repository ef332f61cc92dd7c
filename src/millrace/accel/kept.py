"""What is known of one fitted object: how long its methods take, and its compiled model.

Compiled answers are those of scikit-learn, so the clock may choose between the two: the seconds of both
are kept for each method and each doubling of the number of rows.

An object is compiled as soon as the gain of the call at hand and the gains that were forgone in earlier
calls make up for what compiling costs; so waiting and compiling in vain each cost at most as much as the
other, as in the ski rental problem. The cost is estimated from the size of the object and
corrected by what compiling has taken in this process.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import Any

from millrace.accel import costs
from millrace.accel.calls import NotHere, originals
from millrace.accel.probe import Template, compared
from millrace.accel.watch import Watch, extent_of

WORTH_A_LOOK = 1e-3
"""Seconds that have to be at stake before the size of an object is looked at."""

_BASE, _PER_OBJECT, _PER_BYTE = 5e-3, 6e-5, 2.5e-8
"""Seconds of compiling: for any object, for each container and array inside, for each of their bytes."""

_COLD = 0.8
"""Seconds that the first object of a process takes beyond that: to import Numba, and the compiler."""

_FORCED = 1e6
"""Expected to be faster by so much, the clock is not asked: so tests see Millrace's answers."""

_SLOWER = 1.1
"""A longer measurement raises the seconds that are kept by this factor at most: the machine was busy."""


@dataclass(slots=True)
class Pace:
    """Seconds of one method for one order of magnitude of rows; None before they are known.

    Attributes
    ----------
    expected : costs.Estimate
        As measured for the class; it gains.
    theirs : float
        Of scikit-learn: as expected until it is measured.
    ours : float or None
        As measured for this object.
    forced : bool
        The clock is not asked.
    """

    expected: costs.Estimate
    theirs: float
    ours: float | None = None
    forced: bool = False

    @classmethod
    def of(cls, expected: costs.Estimate) -> Pace:
        return cls(expected, expected.theirs, forced=expected.gains_by(_FORCED))

    def took(self, seconds: float) -> None:
        """Keep the seconds of scikit-learn."""
        known = self.theirs is not self.expected.theirs
        self.theirs = min(seconds, self.theirs * _SLOWER) if known else seconds

    def we_took(self, seconds: float) -> None:
        """Keep the seconds of a compiled model."""
        self.ours = seconds if self.ours is None else min(seconds, self.ours * _SLOWER)

    @property
    def prefers_us(self) -> bool:
        """Whether a compiled model is expected to be faster."""
        return self.ours is None or self.ours < self.theirs or self.forced

    @property
    def gain(self) -> float:
        """Seconds that one call is expected to gain by a compiled model."""
        if self.ours is not None:
            return self.theirs - self.ours
        return self.theirs * (1.0 - self.expected.ours / self.expected.theirs)


@dataclass
class _Process:
    """What compiling has cost in this process.

    Attributes
    ----------
    classes : set of str
        Of objects that were compiled: their kernels are loaded.
    forgone : float
        Seconds that calls have not gained.
    factor : float
        Seconds that compiling took, over those estimated.
    """

    classes: set[str] = field(default_factory=set)
    forgone: float = 0.0
    factor: float = 1.0


PROCESS = _Process()
_COMPILING = threading.Lock()


class Kept:
    """What is known of one fitted object; see the module.

    Parameters
    ----------
    estimator : object
    name : str
        The public name of its class.
    forget : callable
        Called when the object is gone.

    Attributes
    ----------
    reason : NotHere or None
        Why the object, as it was at the last look, is not compiled.
    """

    reason: NotHere | None = None
    _watch: Watch | None = None
    _model: Any = None
    _names: list[str] | None = None
    _failed: Sequence[Any] = ()
    _forgone = 0.0
    _penalty = 1.0
    _cost = -1.0

    def __init__(self, estimator: Any, name: str, forget: Callable[[Any], object]) -> None:
        self.alive = weakref.ref(estimator, forget)
        self.name = name
        self._paces: dict[tuple[str, int], Pace | None] = {}
        self._templates: dict[Any, Template | NotHere] = {}

    def _drop(self) -> None:
        self._watch = self._model = self._names = None
        self._templates = {}
        self._failed = ()
        self._cost = -1.0

    def pace(self, method: str, rows: int, columns: int) -> Pace | None:
        """The seconds of a method for about so many rows; None where nothing can be gained."""
        key = method, rows.bit_length()
        try:
            return self._paces[key]
        except KeyError:
            expected = costs.estimate(self.name, method, rows, columns)
            gains = expected is not None and expected.gains
            found = self._paces[key] = Pace.of(expected) if gains else None  # pyright: ignore[reportArgumentType]
            return found

    def forgo(self, seconds: float) -> None:
        """Count a gain that was not made. Below zero is what compiling has cost and not yet gained."""
        self._forgone += seconds
        PROCESS.forgone += seconds

    def ready(self, estimator: Any, pace: Pace) -> bool:
        """Whether there is a compiled model of the object as it is now, or one is worth to be made."""
        if self._watch is not None:
            if self._watch.holds(estimator):
                return True
            if self._forgone < 0.0:  # it has not made up for what compiling it cost
                self._penalty *= 2.0
            self._drop()
        if self.reason is not None:
            return False
        return pace.forced or self._is_worth(estimator, pace.gain)

    def _is_worth(self, estimator: Any, gain: float) -> bool:
        at_stake = gain + max(self._forgone, 0.0)
        if at_stake < max(WORTH_A_LOOK, self._cost * self._penalty):
            return False
        cold = 0.0
        if self.name not in PROCESS.classes:
            cold = costs.COLD_CLASS + (0.0 if PROCESS.classes else _COLD)
        if gain + PROCESS.forgone < cold:
            return False
        if self._cost < 0.0:
            self._look(estimator)
        return (
            self.reason is None
            and at_stake >= self._cost * self._penalty
            and gain + PROCESS.forgone >= self._cost + cold
        )

    def _look(self, estimator: Any) -> None:
        """Estimate what compiling costs, from the size of the object."""
        try:
            size = extent_of(estimator)
        except NotHere as reason:
            self._fail(estimator, reason)
            return
        self._cost = PROCESS.factor * _estimated(size)

    def _fail(self, estimator: Any, reason: NotHere) -> None:
        self._drop()
        self._failed = list(vars(estimator).values())
        self.reason = NotHere(reason.reason, reason.lift)

    def reason_of(self, estimator: Any) -> NotHere | None:
        """Why the object is not compiled; None where it is only not worth it, or has changed since."""
        values = vars(estimator).values()
        if len(values) == len(self._failed) and all(map(is_, values, self._failed)):
            return self.reason
        if self.reason is not None:
            self.reason = None
            self._drop()
        return None

    def answer(
        self, estimator: Any, method: str, original: Callable[..., Any], X: Any
    ) -> tuple[Any, bool]:
        """Answer by the compiled model; it must be `ready`.

        Returns
        -------
        tuple of answer and bool
            Whether the call took the usual time: the first one for rows of a kind takes longer.

        Raises
        ------
        NotHere
            The object cannot be compiled, or rows of this kind are not for us.
        """
        model = self._made(estimator) if self._model is None else self._model
        kind = method, *self._kind(X)
        found = self._templates.get(kind)
        usual = found is not None
        if found is None:
            found = self._compared(model, kind, original, estimator, X)
        if isinstance(found, NotHere):
            raise NotHere(found.reason, found.lift)
        return found.given(model.call(method, X)), usual

    def gained(self, seconds: float) -> None:
        """Count what a compiled answer was faster by; see `forgo`."""
        self._forgone = min(self._forgone + seconds, 0.0)

    def refuse(self, method: str, X: Any, reason: NotHere) -> None:
        """Leave rows of this kind to scikit-learn from now on."""
        self._templates[method, *self._kind(X)] = NotHere(reason.reason)

    def _compared(
        self,
        model: Any,
        kind: tuple[Any, ...],
        original: Callable[..., Any],
        estimator: Any,
        X: Any,
    ) -> Template | NotHere:
        method = kind[0]
        found: Template | NotHere
        try:
            found = compared(partial(original, estimator), partial(model.call, method), X)
        except NotHere as reason:
            found = NotHere(reason.reason, reason.lift)
        self._templates[kind] = found
        return found

    def _made(self, estimator: Any) -> Any:
        if not _COMPILING.acquire(blocking=False):
            raise NotHere("it is being compiled in another thread", quiet=True)
        try:
            return self._compile(estimator)
        except NotHere as reason:
            self._fail(estimator, reason)
            raise
        finally:
            _COMPILING.release()

    def _compile(self, estimator: Any) -> Any:
        from millrace.compiler.build import compile
        from millrace.errors import MillraceError

        began = time.perf_counter()
        with originals():
            watch = Watch(estimator)
            try:
                model = compile(estimator, verify=False)
            except MillraceError as error:
                raise NotHere(str(error).partition("\n")[0]) from error
        if model.foreign:
            raise NotHere(f"{_foreign(model)} is not native")
        model.source = None  # it must not keep the object alive
        names = getattr(estimator, "feature_names_in_", None)
        self._names = None if names is None else list(names)
        self._model, self._watch = model, watch
        seconds = time.perf_counter() - began
        self._forgone = -seconds
        if self.name in PROCESS.classes:
            share = min(max(seconds / _estimated(extent_of(estimator)), 0.2), 5.0)
            PROCESS.factor += 0.2 * (share - PROCESS.factor)
        PROCESS.classes.add(self.name)
        return model

    def _kind(self, X: Any) -> tuple[Any, ...]:
        """What tells apart kinds of rows that may be answered differently.

        Raises
        ------
        NotHere
            Rows of a kind that is not accelerated, or whose columns are not those of the fit.
        """
        cls = type(X)
        if cls.__module__.startswith("numpy"):
            flags = X.flags
            if self._names is not None:
                raise NotHere("X has no column names, and was fitted with them", "a DataFrame")
            return X.dtype, flags.c_contiguous, flags.f_contiguous, len(X) == 1
        if self._names is None:
            raise NotHere("X has column names, and was fitted without them", "X.to_numpy()")
        if X.columns.tolist() != self._names:
            raise NotHere("the columns of X are not those of the fit")
        return (len(X) == 1, *X.dtypes)


def _estimated(size: tuple[int, int]) -> float:
    return _BASE + _PER_OBJECT * size[0] + _PER_BYTE * size[1]


def _foreign(model: Any) -> str:
    """The first step of a model that calls the original object."""
    steps = (path or name for path, name, status, _ in model.info.steps if status != "native")
    return next(steps, model.info.source)
