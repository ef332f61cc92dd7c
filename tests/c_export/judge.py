"""The reference backend with the functions that C has: libm's, and products added up in order.

NumPy's own `exp` and BLAS's own sums differ from a C program's in the last places. With these in their
place every answer of the generated code must have the very bits of the reference.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from millrace.ir import Program
from millrace.ir.ops import Binary, MatMul, Reduce, Unary
from millrace.ir.types import function
from tests.conformance.cases import plain_columns

module = import_module("millrace.backends.reference.run")

LIBM = {
    "exp": "exp",
    "exp2": "exp2",
    "expm1": "expm1",
    "log": "log",
    "log2": "log2",
    "log10": "log10",
    "log1p": "log1p",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "cbrt": "cbrt",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "power": "pow",
    "arctan2": "atan2",
    "hypot": "hypot",
    "erf": "erf",
    "erfc": "erfc",
}
"""Ufunc -> function of libm."""

ULPS = {"ndtr": 16, "logaddexp": 4}
"""Functions that SciPy and NumPy compute by other formulas than libm has, and by how much they differ."""


@cache
def libm(name: str, dtype: str) -> Any:
    """A function of libm over arrays of float64 or float32."""
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    kind = ctypes.c_float if dtype == "float32" else ctypes.c_double
    call = getattr(library, LIBM[name] + ("f" if dtype == "float32" else ""))
    call.restype = kind
    n = function(name).nin
    call.argtypes = [kind] * n
    vector = np.frompyfunc(lambda *cells: call(*(float(c) for c in cells)), n, 1)

    def over(*blocks: Any) -> Any:
        blocks = tuple(np.asarray(b, dtype) for b in blocks)
        return np.asarray(vector(*blocks), dtype)

    return over


def _apply(op: Any, inputs: list[Any], *rest: Any) -> Any:
    name = op.ufunc if isinstance(op, (Unary, Binary)) else None
    if isinstance(op, MatMul) and isinstance(inputs[0], np.ndarray):
        return _in_order(inputs[0], op.weights.values)
    if op == Reduce("square_sum") and isinstance(inputs[0], np.ndarray):
        rows = inputs[0]
        total = np.zeros((len(rows), 1), rows.dtype)
        for k in range(rows.shape[1]):
            total = total + rows[:, k : k + 1] * rows[:, k : k + 1]
        return total
    if name in LIBM and all(i.dtype != object for i in inputs):
        out = str(function(name)(*(i[:0] for i in inputs)).dtype)
        if name == "power" and inputs[1].shape == (1, 1) and inputs[1][0, 0] == 2:
            return np.square(inputs[0].astype(out))
        if out in ("float64", "float32"):
            return libm(name, out)(*inputs)
    return _original(op, inputs, *rest)


_original = module._apply


def _in_order(rows: Any, weights: Any) -> Any:
    dtype = np.result_type(rows, weights)
    total = np.zeros((len(rows), weights.shape[1]), dtype)
    for k in range(rows.shape[1]):
        total = total + rows[:, k : k + 1].astype(dtype) * weights[k].astype(dtype)
    return total


def answers(patch: pytest.MonkeyPatch, program: Program, rows: Any) -> dict[str, Any]:
    """All outputs of a program as C must compute them."""
    patch.setattr(module, "_apply", _apply)
    with np.errstate(all="ignore"):
        return module.run(program, plain_columns(program, rows))
