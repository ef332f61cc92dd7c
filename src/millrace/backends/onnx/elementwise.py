"""Functions of one and of two arguments, by the names of their ufuncs.

Where ONNX has the function, its node is used; where it has not, or ONNX Runtime has no float64 kernel
for it, the function is written with those that there are, in a form that is accurate to a few units
in the last place (Kahan's ``log1p`` and ``expm1``, a Newton step for the arcus tangent).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from millrace.backends.onnx import special
from millrace.backends.onnx.graph import Refused, Tensor, widened
from millrace.errors import ProgramError
from millrace.ir.types import function


def unary(name: str, x: Tensor) -> Tensor:
    """`Unary`: a ufunc of one argument."""
    if name not in UNARY:
        raise _unknown(name)
    (source, target) = _loop(name, [x.dtype])
    if name == "logical_not" or (source == "bool" and name == "invert"):
        return ~x.to("bool")
    if name in ("positive", "conjugate"):
        return x.to(target)
    if source == "bool":
        raise Refused(f"{name} of booleans has no counterpart", _REMEDY)
    return widened(UNARY[name], x.to(source)).to(target)


def binary(name: str, a: Tensor, b: Tensor) -> Tensor:
    """`Binary`: a ufunc of two arguments."""
    if "object" in (a.dtype, b.dtype):
        return _of_text(name, a, b)
    if name not in BINARY and name not in _LOGICAL:
        raise _unknown(name)
    left, right, target = _loop(name, [a.dtype, b.dtype])
    if name in _LOGICAL and (name.startswith("logical") or left == "bool"):
        return _LOGICAL[name](a.to("bool"), b.to("bool"))
    if name not in BINARY:
        raise Refused(f"{name} of whole numbers has no counterpart", _REMEDY)
    if left != right:
        raise Refused(f"{name} of {left} and {right} has no counterpart", _REMEDY)
    return widened(BINARY[name], a.to(left), b.to(right)).to(target)


_REMEDY = "Choose other methods, or export the model with to_c"


def _unknown(name: str) -> Refused:
    return Refused(f"ONNX has no {name}, and Millrace writes none with what it has", _REMEDY)


def _loop(name: str, dtypes: Sequence[str]) -> list[str]:
    """The dtypes in which NumPy computes, and that of the result."""
    if "object" in dtypes:
        raise Refused(f"{name} of text has no counterpart", _REMEDY)
    ufunc: Any = function(name)
    try:
        return [str(d) for d in ufunc.resolve_dtypes((*map(np.dtype, dtypes), None))]
    except TypeError as error:
        raise ProgramError(f"{name} takes no {' and '.join(dtypes)}") from error


def _of_text(name: str, a: Tensor, b: Tensor) -> Tensor:
    if a.dtype != b.dtype or name not in ("equal", "not_equal"):
        raise Refused(f"{name} of text has no counterpart", _REMEDY)
    return a.same(b) if name == "equal" else ~a.same(b)


# -- one argument --------------------------------------------------------------------------
def _log1p(x: Tensor) -> Tensor:
    u = x + 1
    exact = u.same(1) | u.same(np.inf)
    return exact.where(x, u.apply("Log") * (x / (u - 1)))


def _expm1(x: Tensor) -> Tensor:
    u = x.apply("Exp")
    below = u - 1
    corrected = below * (x / u.apply("Log"))
    at_ends = (u.same(np.inf) | below.same(-1)).where(below, corrected)
    return u.same(1).where(x, at_ends)


def _tanh(x: Tensor) -> Tensor:
    """ONNX Runtime's own is right to nine digits only."""
    wide = x.to("float64")
    e = _expm1(abs(wide) * -2)
    return (-(e / (e + 2)) * _sign(wide)).to(x.dtype)


def _expit(x: Tensor) -> Tensor:
    return 1 / ((-x).apply("Exp") + 1)


def _trunc(x: Tensor) -> Tensor:
    return (x < 0).where(x.apply("Ceil"), x.apply("Floor"))


def _sign(x: Tensor) -> Tensor:
    return x.isnan().where(x, x.apply("Sign"))


def _sinh(x: Tensor) -> Tensor:
    e = _expm1(abs(x))
    return x.apply("Sign") * e.same(np.inf).where(e, (e + e / (e + 1)) / 2)


def _cosh(x: Tensor) -> Tensor:
    return (x.apply("Exp") + (-x).apply("Exp")) / 2


def _arcsinh(x: Tensor) -> Tensor:
    a = abs(x)
    middle = _log1p(a + a * a / ((a * a + 1).apply("Sqrt") + 1))
    return x.apply("Sign") * (a > 1e8).where(a.apply("Log") + np.log(2), middle)


def _arccosh(x: Tensor) -> Tensor:
    return (x + ((x - 1) * (x + 1)).apply("Sqrt")).apply("Log")


def _arctanh(x: Tensor) -> Tensor:
    return _log1p(x * 2 / (1 - x)) / 2


def _arctan(x: Tensor) -> Tensor:
    """Float32 gives a guess; ``tan(y - guess)`` is so small that its cube is nothing."""
    wide = x.to("float64")
    outside = abs(wide) > 1
    z = outside.where(1 / wide, wide)
    guess = z.to("float32").apply("Atan").to("float64")
    sine, cosine = guess.apply("Sin"), guess.apply("Cos")
    inside = guess + (z * cosine - sine) / (cosine + z * sine)
    half_turn = wide.apply("Sign") * (np.pi / 2)
    return outside.where(half_turn - inside, inside).to(x.dtype)


def _arcsin(x: Tensor) -> Tensor:
    return _arctan(x / ((1 - x) * (x + 1)).apply("Sqrt"))


def _cbrt(x: Tensor) -> Tensor:
    a = abs(x)
    y = a ** (1 / 3)
    better = y - (y * y * y - a) / (y * y * 3)
    finite = (y > 0) & (y < np.inf)
    return x.apply("Sign") * finite.where(better, y)


def _node(name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: x.apply(name)


def _as_bool(name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: x.apply(name, dtype="bool") if x.dtype.startswith("float") else ~x.same(x)


def _isfinite(x: Tensor) -> Tensor:
    return abs(x) < np.inf if x.dtype.startswith("float") else x.same(x)


UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "absolute": abs,
    "abs": abs,
    "arccos": lambda x: np.pi / 2 - _arcsin(x),
    "arccosh": _arccosh,
    "arcsin": _arcsin,
    "arcsinh": _arcsinh,
    "arctan": _arctan,
    "arctanh": _arctanh,
    "cbrt": _cbrt,
    "ceil": _node("Ceil"),
    "conjugate": _node("Identity"),
    "cos": _node("Cos"),
    "cosh": _cosh,
    "deg2rad": lambda x: x * (np.pi / 180),
    "degrees": lambda x: x * (180 / np.pi),
    "erf": special.erf,
    "exp": _node("Exp"),
    "exp2": lambda x: x._other(2) ** x,
    "expit": _expit,
    "expm1": _expm1,
    "fabs": abs,
    "floor": _node("Floor"),
    "invert": lambda x: -x - 1,
    "isfinite": _isfinite,
    "isinf": _as_bool("IsInf"),
    "isnan": _as_bool("IsNaN"),
    "log": _node("Log"),
    "log10": lambda x: x.apply("Log") / np.log(10),
    "log1p": _log1p,
    "log2": lambda x: x.apply("Log") / np.log(2),
    "log_expit": lambda x: (x < 0).where(x, 0) - _log1p((-abs(x)).apply("Exp")),
    "logical_not": _node("Not"),
    "logit": lambda x: (x / (1 - x)).apply("Log"),
    "ndtri": special.ndtri,
    "negative": _node("Neg"),
    "positive": _node("Identity"),
    "rad2deg": lambda x: x * (180 / np.pi),
    "radians": lambda x: x * (np.pi / 180),
    "reciprocal": lambda x: 1 / x,
    "rint": _node("Round"),
    "sign": _sign,
    "sin": _node("Sin"),
    "sinh": _sinh,
    "sqrt": _node("Sqrt"),
    "square": lambda x: x * x,
    "tan": lambda x: x.apply("Sin") / x.apply("Cos"),
    "tanh": _tanh,
    "trunc": _trunc,
}
"""Ufunc of one argument -> what it is in ONNX, for a dtype that has kernels."""


# -- two arguments -------------------------------------------------------------------------
def remainder(a: Tensor, b: Tensor) -> Tensor:
    """``numpy.remainder``: the sign of the divisor."""
    if not a.dtype.startswith("float"):
        return a.apply("Mod", b)
    rest = a.apply("Mod", b, fmod=1)
    crosses = ~rest.same(0) & ((b < 0) ^ (rest < 0))
    return crosses.where(rest + b, rest)


def _floor_divide(a: Tensor, b: Tensor) -> Tensor:
    quotient = (a - remainder(a, b)) / b
    if not a.dtype.startswith("float"):
        return quotient
    return b.same(0).where(a / b, quotient.apply("Round"))


def _fmax(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    def pick(a: Tensor, b: Tensor) -> Tensor:
        return a.isnan().where(b, b.isnan().where(a, a.apply(name, b)))

    return pick


def _logaddexp(a: Tensor, b: Tensor) -> Tensor:
    top = a.apply("Max", b)
    spread = _log1p((-abs(a - b)).apply("Exp"))
    return a.same(b).where(a + np.log(2), top + spread)


def _hypot(a: Tensor, b: Tensor) -> Tensor:
    top, low = abs(a).apply("Max", abs(b)), abs(a).apply("Min", abs(b))
    ratio = low / top
    plain = top.same(0) | top.same(np.inf)
    return plain.where(top, top * (ratio * ratio + 1).apply("Sqrt"))


def _times_log(log: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: (a.same(0) & ~b.isnan()).where(0, a * log(b))


def _boxcox(log: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def transform(x: Tensor, power: Tensor) -> Tensor:
        logarithm = log(x)
        return (abs(power) < 1e-19).where(logarithm, _expm1(power * logarithm) / power)

    return transform


_log = _node("Log")

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "boxcox": _boxcox(_log),
    "boxcox1p": _boxcox(_log1p),
    "copysign": lambda a, b: ((b < 0) | (1 / b < 0)).where(-abs(a), abs(a)),
    "divide": lambda a, b: a / b,
    "equal": lambda a, b: a.same(b),
    "float_power": lambda a, b: a**b,
    "floor_divide": _floor_divide,
    "fmax": _fmax("Max"),
    "fmin": _fmax("Min"),
    "fmod": lambda a, b: a.apply("Mod", b, fmod=1),
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "hypot": _hypot,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "logaddexp": _logaddexp,
    "maximum": lambda a, b: a.apply("Max", b),
    "minimum": lambda a, b: a.apply("Min", b),
    "multiply": lambda a, b: a * b,
    "not_equal": lambda a, b: ~a.same(b),
    "power": lambda a, b: a**b,
    "remainder": remainder,
    "mod": remainder,
    "subtract": lambda a, b: a - b,
    "true_divide": lambda a, b: a / b,
    "xlog1py": _times_log(_log1p),
    "xlogy": _times_log(_log),
}
"""Ufunc of two arguments -> what it is in ONNX, for a dtype that has kernels."""

_LOGICAL: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "add": lambda a, b: a | b,
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
    "logical_and": lambda a, b: a & b,
    "logical_or": lambda a, b: a | b,
    "logical_xor": lambda a, b: a ^ b,
    "maximum": lambda a, b: a | b,
    "minimum": lambda a, b: a & b,
    "multiply": lambda a, b: a & b,
}
"""Functions that are logic where their arguments are booleans."""
