"""Ufuncs as C expressions, computed in the type in which NumPy computes them.

Arithmetic, comparisons, rounding and ``sqrt`` have NumPy's bits. What ends in a function of libm
(``exp``, ``log``, ``pow`` ...) is as exact as that libm, which differs from NumPy's own vector
functions by a few units in the last place.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from millrace.backends.c.unit import Unit
from millrace.backends.c.words import CTYPES, ctype, literal
from millrace.errors import ExportError
from millrace.ir.types import function

LIBM = {
    **{n: n for n in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "sqrt")},
    **{n: n for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "erfc")},
    **{n: n for n in ("floor", "ceil", "trunc", "rint", "fabs")},
    **{f"arc{n}": f"a{n}" for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "absolute": "fabs",
}
"""Ufunc of one float -> function of libm."""

LIBM2 = {
    "power": "pow",
    "arctan2": "atan2",
    "hypot": "hypot",
    "copysign": "copysign",
    "fmod": "fmod",
    "nextafter": "nextafter",
    "float_power": "pow",
}
"""Ufunc of two floats -> function of libm."""

FLOAT1 = {
    "negative": "-{x}",
    "positive": "{x}",
    "square": "{x} * {x}",
    "reciprocal": "1 / {x}",
    "sign": "{x} > 0 ? 1 : {x} < 0 ? -1 : {x} == 0 ? 0 : {x}",
    "isnan": "isnan({x}) != 0",
    "isinf": "isinf({x}) != 0",
    "isfinite": "isfinite({x}) != 0",
    "signbit": "signbit({x}) != 0",
    "logical_not": "{x} == 0",
    "expit": "1 / (1 + exp{f}(-{x}))",
    "log_expit": "{x} < 0 ? {x} - log1p{f}(exp{f}({x})) : -log1p{f}(exp{f}(-{x}))",
    "entr": "isnan({x}) ? {x} : {x} > 0 ? -{x} * log{f}({x}) : {x} == 0 ? 0 : -INFINITY",
}
"""Ufunc of one float -> expression; ``{f}`` is the suffix of the type's functions."""

FLOAT2 = {
    "add": "{x} + {y}",
    "subtract": "{x} - {y}",
    "multiply": "{x} * {y}",
    "divide": "{x} / {y}",
    "maximum": "{x} > {y} || isnan({x}) ? {x} : {y}",
    "minimum": "{x} < {y} || isnan({x}) ? {x} : {y}",
    "fmax": "{x} >= {y} || isnan({y}) ? {x} : {y}",
    "fmin": "{x} <= {y} || isnan({y}) ? {x} : {y}",
    "heaviside": "isnan({x}) ? {x} : {x} == 0 ? {y} : {x} < 0 ? 0 : 1",
    "xlogy": "{x} == 0 && !isnan({y}) ? 0 : {x} * log{f}({y})",
    "xlog1py": "{x} == 0 && !isnan({y}) ? 0 : {x} * log1p{f}({y})",
}
"""Ufunc of two floats -> expression."""

WHOLE1 = {
    "negative": "({t})(0 - ({u}){x})",
    "positive": "{x}",
    "absolute": "({t})({x} < 0 ? 0 - ({u}){x} : ({u}){x})",
    "square": "({t})(({u}){x} * ({u}){x})",
    "sign": "{x} > 0 ? 1 : {x} < 0 ? -1 : 0",
    "invert": "({t})~{x}",
    "logical_not": "{x} == 0",
    **dict.fromkeys(("isnan", "isinf"), "false"),
    "isfinite": "true",
    **dict.fromkeys(("floor", "ceil", "trunc"), "{x}"),
}
"""Ufunc of one integer -> expression; ``{t}`` is its type, ``{u}`` an unsigned one as wide or wider."""

WHOLE2 = {
    "add": "({t})(({u}){x} + ({u}){y})",
    "subtract": "({t})(({u}){x} - ({u}){y})",
    "multiply": "({t})(({u}){x} * ({u}){y})",
    "maximum": "{x} > {y} ? {x} : {y}",
    "minimum": "{x} < {y} ? {x} : {y}",
    "bitwise_and": "({t})({x} & {y})",
    "bitwise_or": "({t})({x} | {y})",
    "bitwise_xor": "({t})({x} ^ {y})",
}
"""Ufunc of two integers -> expression."""

TRUTH1 = {"logical_not": "!{x}", "invert": "!{x}", "isnan": "false", "positive": "{x}"}
TRUTH2 = {
    "add": "{x} || {y}",
    "multiply": "{x} && {y}",
    "maximum": "{x} || {y}",
    "minimum": "{x} && {y}",
    "bitwise_and": "{x} && {y}",
    "bitwise_or": "{x} || {y}",
    "bitwise_xor": "{x} != {y}",
}
"""Ufuncs of booleans -> expression."""

COMPARE = {
    "equal": "{x} == {y}",
    "not_equal": "{x} != {y}",
    "less": "{x} < {y}",
    "less_equal": "{x} <= {y}",
    "greater": "{x} > {y}",
    "greater_equal": "{x} >= {y}",
    "logical_and": "{x} != 0 && {y} != 0",
    "logical_or": "{x} != 0 || {y} != 0",
    "logical_xor": "({x} != 0) != ({y} != 0)",
}
"""Ufuncs of two numbers of any kind -> expression."""

HELPERS = {
    "boxcox": "boxcox",
    "inv_boxcox": "inv_boxcox",
    "logaddexp": "logaddexp",
    "floor_divide": "floor_divide",
    "remainder": "python_remainder",
    "logit": "logit",
    "ndtr": "ndtr",
    "ndtri": "ndtri",
}
"""Ufuncs of floats that are helper functions; see `snippets`."""

ANGLES = {
    "deg2rad": (math.pi, 180),
    "radians": (math.pi, 180),
    "rad2deg": (180, math.pi),
    "degrees": (180, math.pi),
}
"""Ufunc -> numerator and denominator of its factor, divided in the type of the input."""


def loop_dtypes(ufunc: str, dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """The dtypes in which NumPy computes a ufunc for inputs of these dtypes, and that of its result."""
    kinds = (*(np.dtype(d) for d in dtypes), None)
    return tuple(str(d) for d in cast(np.ufunc, function(ufunc)).resolve_dtypes(kinds))


def expression(unit: Unit, ufunc: str, step: int, cells: list[str], dtypes: tuple[str, ...]) -> str:
    """A C expression for one cell of ``ufunc(*cells)``.

    Raises
    ------
    ExportError
        The function has no exact counterpart in C99.
    """
    primitive = "Unary" if len(cells) == 1 else "Binary"
    ufunc = function(ufunc).__name__  # "abs" is "absolute"
    loop = loop_dtypes(ufunc, dtypes)
    if any(d not in CTYPES for d in loop):
        raise refuse(primitive, step, f"{ufunc} computes in {', '.join(loop)}")
    operands = [
        c if have == want else f"({ctype(want)}){c}"
        for c, have, want in zip(cells, dtypes, loop, strict=False)
    ]
    template = _template(unit, ufunc, loop)
    if template is None:
        raise refuse(primitive, step, f"C99 has no function for {ufunc} of {', '.join(dtypes)}")
    words = dict(zip("xy", operands, strict=False))
    unsigned = "uint64_t" if loop[0] in ("int64", "uint64") else "uint32_t"
    suffix = "f" if loop[0] == "float32" else ""
    return template.format(**words, f=suffix, t=ctype(loop[0]), u=unsigned)


def refuse(primitive: str, step: int, reason: str) -> ExportError:
    """A primitive that C cannot express; what to do is the same for all."""
    return ExportError.refused(
        primitive, step, reason, "Export other methods with methods=[...], or ship the .mill file"
    )


def _template(unit: Unit, ufunc: str, loop: tuple[str, ...]) -> str | None:
    single = len(loop) == 2
    if not single and ufunc in COMPARE:
        return COMPARE[ufunc]
    if loop[0] == "bool":
        return (TRUTH1 if single else TRUTH2).get(ufunc)
    if not loop[0].startswith("float"):
        return (WHOLE1 if single else WHOLE2).get(ufunc)
    if ufunc in ANGLES and single:
        above, below = (np.dtype(loop[0]).type(v) for v in ANGLES[ufunc])
        return f"{{x}} * {literal(above / below, loop[0])}"
    if ufunc in HELPERS:
        name = unit.helper(HELPERS[ufunc], loop[0])
        return f"{name}({{x}})" if single else f"{name}({{x}}, {{y}})"
    libm = (LIBM if single else LIBM2).get(ufunc)
    if libm is not None:
        return f"{libm}{{f}}({{x}})" if single else f"{libm}{{f}}({{x}}, {{y}})"
    return (FLOAT1 if single else FLOAT2).get(ufunc)
