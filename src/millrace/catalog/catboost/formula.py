"""From raw values to CatBoost's prediction types.

Semantics matched: CatBoost 1.2.10, ``libs/model/eval_processing.h``,
``libs/eval_result/eval_helpers.cpp`` and ``library/cpp/fast_exp``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Result, vector
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value

_ONE_VERSUS_ALL = ("MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy")
MULTI_LABEL = ("MultiLogloss", "MultiCrossEntropy")

LOGARITHMS = (
    4,
    4.5e-16,
    "log probabilities: NumPy's exp and log are not always the nearest number, libm's are",
)
"""Bound of the log probabilities: ulp, absolute, why."""


@dataclass(frozen=True)
class Formula:
    """The raw values of a model and what the prediction types need besides.

    Attributes
    ----------
    raw : Value
        (n_samples, n_outputs) float64.
    loss : str
        Name of the loss function, "" where the model does not say.
    classes : array, optional
        Labels, for models of classes.
    threshold : float
        Binary models give the second class where the raw value is greater.
    """

    raw: Value
    loss: str
    classes: npt.NDArray[np.generic] | None
    threshold: float

    @property
    def is_single(self) -> bool:
        return self.raw.width == 1

    def types(self) -> dict[str, Value | Result]:
        """Every prediction type that upstream offers for this model, by name."""
        types: dict[str, Value | Result] = {"RawFormulaVal": self._shaped(self.raw)}
        if self.classes is not None and len(self.classes):
            types["Class"] = self._labels(self.classes)
            types["Probability"] = self._probability()
            types["LogProbability"] = self._log_probability()
        elif self.is_single:
            types["Exponent"] = vector(fast_exp(self.raw))
        elif self.loss == "RMSEWithUncertainty":
            spread = fast_exp(self.raw.column(1) * np.float64(2.0))
            types["RMSEWithUncertainty"] = self.raw.builder.concat([self.raw.column(0), spread])
        return types

    def _shaped(self, value: Value) -> Value | Result:
        return vector(value) if self.is_single else value

    def _labels(self, classes: npt.NDArray[np.generic]) -> Value | Result:
        if self.loss in MULTI_LABEL:
            return (self.raw > np.float64(0.0)).cast("int64")
        if self.is_single:
            code = (self.raw > np.float64(self.threshold)).cast("int32")
        else:
            code = self.raw.reduce("argmax")
        if classes.dtype.kind in "biuf":
            return self._shaped(code.gather(Array(classes)))
        return self._shaped(code.gather(Text(tuple(str(c) for c in classes), "object")))

    def _probability(self) -> Value:
        if self.is_single:
            second = self.raw.apply("expit")
            return self.raw.builder.concat([-second + np.float64(1.0), second])
        if self.loss in _ONE_VERSUS_ALL:
            return self.raw.apply("expit")
        exponents = fast_exp(self.raw - self.raw.reduce("max"))
        return exponents / _sum(exponents)

    def _log_probability(self) -> Value:
        if self.is_single:
            return self.raw.builder.concat([_log_sigmoid(-self.raw), _log_sigmoid(self.raw)])
        if self.loss in _ONE_VERSUS_ALL:
            return _log_sigmoid(self.raw)
        shifted = self.raw - self.raw.reduce("max")
        return shifted - _sum(fast_exp(shifted)).apply("log")


def _log_sigmoid(x: Value) -> Value:
    return -((-x).apply("exp") + np.float64(1.0)).apply("log")


def _sum(x: Value) -> Value:
    """The sum of each row, from the first column to the last."""
    return reduce(Value.__add__, [x.column(i) for i in range(x.width)])


_STEPS = 2048
"""Entries of the table of powers of two."""

_FRACTIONS = Array(np.array([2.0 ** (i / _STEPS) for i in range(_STEPS)]))

_LEAST_POWER = 1022
_POWERS = Array(np.ldexp(1.0, np.arange(-_LEAST_POWER, 1024)))


def fast_exp(x: Value) -> Value:
    """Upstream's ``FastExpInplace``: ``2^(k / 2048)`` from a table times a cubic in what is left.

    x and the result: (n_samples, width) float64.
    """
    x = x.combine("minimum", np.float64(709.78272569338397))
    x = x.combine("maximum", np.float64(-708.39641853226408))
    rounding = np.float64(3 << 51)
    steps = (x * np.float64(_STEPS / math.log(2)) + rounding) - rounding
    rest = steps * np.float64(math.log(2) / _STEPS) - x
    cubic = (-rest + np.float64(3.0000000027955394)) * (rest * rest)
    factor = cubic * np.float64(0.16666666685227835) - rest + np.float64(1.0)
    whole = (steps * np.float64(1.0 / _STEPS)).apply("floor")
    entry = (steps - whole * np.float64(_STEPS)).cast("int64")
    power = (whole + np.float64(_LEAST_POWER)).cast("int64")
    scales = [
        entry.column(i).gather(_FRACTIONS) * power.column(i).gather(_POWERS) for i in range(x.width)
    ]
    return factor * x.builder.concat(scales)
