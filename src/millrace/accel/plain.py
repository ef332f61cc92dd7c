"""Is a fit a plain one? Whatever is unusual goes to the original, which knows what to make of it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from millrace.accel.calls import Call, NotHere
from millrace.solvers.registry import lookup_resident, takes_weight

_FIT_ARGUMENTS = ("X", "y", "sample_weight")


@dataclass(frozen=True)
class PlainFit:
    """What a plain fit is given.

    Attributes
    ----------
    X : numpy.ndarray or pandas.DataFrame
        (n_samples, n_features) of plain dtypes; not checked for missing or infinite values.
    y : numpy.ndarray or None
        (n_samples,) or (n_samples, n_outputs); None where the class does not read it.
    weight : numpy.ndarray or None
        (n_samples,), none of them negative.
    single : bool
        Whether scikit-learn would compute in float32.
    column : numpy.ndarray or None
        The y that was given, where it is one column and scikit-learn warns that it wants a vector.
    """

    X: Any
    y: Any
    weight: Any
    single: bool
    column: Any = None


def plain_fit(call: Call) -> PlainFit:
    """The arguments of a call of ``fit``.

    Raises
    ------
    NotHere
        Arguments, parameters, data or settings of scikit-learn are unusual; or bad, and the original
        raises the right error.
    """
    X, y, weight = _arguments(call)
    check_settings(call.estimator)
    single = check_rows(X)
    n_rows = X.shape[0]
    if n_rows < 2 or X.shape[1] < 1:
        raise NotHere("X has less than two rows or no column")
    target, column = target_of(call.estimator, y, n_rows)
    return PlainFit(X, target, _weight(call.estimator, weight, n_rows), single, column)


def _arguments(call: Call) -> tuple[Any, Any, Any]:
    names = _FIT_ARGUMENTS if _has_third(call.original) else _FIT_ARGUMENTS[:2]
    by_place = dict(zip(names, call.args, strict=False))
    if len(call.args) > len(names) or set(call.kwargs) - {*_FIT_ARGUMENTS} or not by_place:
        raise NotHere("arguments other than X, y and sample_weight", "fit(X, y)")
    if set(call.kwargs) & set(by_place):
        raise NotHere("an argument that is given twice")
    given = {**by_place, **call.kwargs}
    return given["X"], given.get("y"), given.get("sample_weight")


@cache
def _has_third(fit: Callable[..., Any]) -> bool:
    return list(inspect.signature(fit).parameters)[3:4] == ["sample_weight"]


def reads_target(estimator: Any) -> bool:
    """Whether ``fit`` uses its y; many take one for the sake of pipelines."""
    if estimator.__sklearn_tags__().target_tags.required or "score_func" in vars(estimator):
        return True
    return not _may_lack_target(type(estimator).fit)


@cache
def _may_lack_target(fit: Callable[..., Any]) -> bool:
    target = inspect.signature(fit).parameters.get("y")
    return target is None or target.default is None


_STREAMS = (np.random.RandomState, np.random.Generator)


def check_settings(estimator: Any) -> None:
    """Parameters that ask for more than a fitted object, and settings of scikit-learn."""
    given = vars(estimator)
    if given.get("warm_start"):
        raise NotHere("warm_start=True")
    if isinstance(given.get("random_state"), _STREAMS):
        raise NotHere("random_state is a stream that others may share", "pass a whole number")
    if given.get("verbose"):
        raise NotHere("verbose output is asked for")
    if given.get("copy_X") is False or given.get("copy") is False:
        raise NotHere("X may be overwritten", "leave copy_X=True: no copy is made here")
    if "_skl_callbacks" in given:
        raise NotHere("it has callbacks")
    config = sys.modules["sklearn"].get_config()
    if config["enable_metadata_routing"] or config["array_api_dispatch"]:
        raise NotHere("metadata routing or the array API is on")
    if not config["skip_parameter_validation"]:
        try:
            estimator._validate_params()
        except Exception as error:  # the original raises it
            raise NotHere("a parameter is not valid") from error


def stops_early(estimator: Any) -> bool:
    """Whether the fit of a linear model may be meant to end before the optimum, where ours goes."""
    cls = type(estimator)
    if not any(base.__module__.startswith(_TO_THE_OPTIMUM) for base in cls.__mro__):
        return False
    usual, given = _usual_iterations(cls), getattr(estimator, "max_iter", None)
    return isinstance(given, int) and 0 <= given < usual


_TO_THE_OPTIMUM = ("sklearn.linear_model.", "sklearn.svm.")

_NO_LIMIT = 1_000
"""What stands for a default that sets none."""


@cache
def _usual_iterations(cls: type) -> int:
    parameter = inspect.signature(cls).parameters.get("max_iter")
    default = 0 if parameter is None else parameter.default
    return default if isinstance(default, int) and default >= 0 else _NO_LIMIT


def check_rows(X: Any) -> bool:
    """Whether rows of a plain kind are float32."""
    if type(X) in (np.ndarray, np.memmap):
        dtype = X.dtype
        if X.ndim != 2 or dtype.char not in "fdlq" or not dtype.isnative:
            raise NotHere(f"X is an array of {dtype}", "a matrix of float64 or float32")
        return bool(dtype.char == "f")
    pandas = sys.modules.get("pandas")
    if pandas is None or type(X) is not pandas.DataFrame:
        raise NotHere(f"X is a {type(X).__name__}", "an array or a pandas data frame")
    return _check_frame(pandas, X)


def _check_frame(pandas: Any, X: Any) -> bool:
    if not all(type(name) is str for name in X.columns) or not X.columns.is_unique:
        raise NotHere("column names are not distinct texts", "X.columns = X.columns.astype(str)")
    dtype: Any
    for name, dtype in X.dtypes.items():
        if isinstance(dtype, np.dtype) and dtype.char in "fdlq":
            continue
        if isinstance(dtype, pandas.StringDtype) and getattr(dtype, "na_value", None) is np.nan:
            continue
        raise NotHere(f"column `{name}` has dtype {dtype}", 'X.astype({column: "str"})')
    return bool((X.dtypes == np.float32).all())


def target_of(estimator: Any, y: Any, n_rows: int) -> tuple[Any, Any]:
    """``(y, column)`` as of `PlainFit`."""
    if not reads_target(estimator):
        return None, None
    y, tags, column = _values(y, "y"), estimator.__sklearn_tags__(), None
    if y.ndim == 2 and y.shape[1] == 1 and not tags.target_tags.multi_output:
        column, y = y, y[:, 0]
    if y.shape[:1] != (n_rows,):
        raise NotHere("X and y differ in length")
    kind = y.dtype.kind
    if y.ndim == 2 and y.shape[1] > 1 and kind == "f" and tags.estimator_type == "regressor":
        return y, None
    if y.ndim != 1:
        raise NotHere(f"y has {y.ndim} dimensions", "y.ravel()")
    if tags.estimator_type == "regressor":
        if kind not in "iuf":
            raise NotHere(f"y has dtype {y.dtype}")
    elif tags.estimator_type == "classifier":
        _check_labels(y)
    elif kind not in "iuf":
        raise NotHere(f"y has dtype {y.dtype}")
    return y, column


def _check_labels(y: np.ndarray) -> None:
    kind = y.dtype.kind
    if kind in "iubU" or (kind == "f" and bool((y == np.floor(y)).all() and np.isfinite(y).all())):
        return
    if kind != "O" or not all(type(label) is str for label in y):
        raise NotHere("y is neither whole numbers nor texts")


def _weight(estimator: Any, weight: Any, n_rows: int) -> Any:
    if weight is None:
        return None
    cls = type(estimator)
    if not takes_weight(cls, in_memory=lookup_resident(cls) is not None):
        raise NotHere("sample_weight: not yet")
    weight = _values(weight, "sample_weight")
    if weight.shape != (n_rows,) or weight.dtype.kind not in "iuf":
        raise NotHere("sample_weight is not one number a row")
    if not (weight >= 0).all() or not np.isfinite(weight).all() or not weight.any():
        raise NotHere("sample_weight has negative or missing values")
    return weight


def _values(given: Any, what: str) -> np.ndarray:
    """An array, or the values of a pandas series of a plain dtype."""
    if type(given) in (np.ndarray, np.memmap):
        return given
    pandas = sys.modules.get("pandas")
    if pandas is not None and type(given) is pandas.Series:
        plain = isinstance(given.dtype, (np.dtype, pandas.StringDtype))
        if plain and not given.hasnans:
            return given.to_numpy()
    raise NotHere(
        f"{what} is a {type(given).__name__} of a kind that is not accelerated", "an array"
    )
