"""The way of one cell from a table column to a step, as long as it is monotone; and its inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir.arrays import Array
from millrace.ir.ops import (
    Binary,
    Cast,
    CastLike,
    Concat,
    Constant,
    Encode,
    Guard,
    IsMissing,
    OneHot,
    Select,
    Take,
    Where,
)
from millrace.ir.program import Program, Step
from millrace.ir.types import Block, function

Vector = npt.NDArray[Any]


@dataclass(frozen=True)
class Round:
    """Convert to another float dtype."""

    dtype: str

    def __call__(self, values: Vector) -> Vector:
        return values.astype(self.dtype)

    def back(self, images: Vector) -> Vector:
        """Roughly the inverse, in float64."""
        return images


@dataclass(frozen=True)
class Arithmetic:
    """``ufunc(x, constant)``."""

    ufunc: str
    constant: Array

    def __call__(self, values: Vector) -> Vector:
        return function(self.ufunc)(values, self.constant.values)

    def back(self, images: Vector) -> Vector:
        inverse = {"add": "subtract", "subtract": "add", "multiply": "divide", "divide": "multiply"}
        if self.ufunc not in inverse:
            return images
        return function(inverse[self.ufunc])(images, self.constant.values.astype(np.float64))


@dataclass(frozen=True)
class Fill:
    """NaN becomes a constant."""

    constant: Array

    def __call__(self, values: Vector) -> Vector:
        dtype = self.constant.dtype
        return np.where(np.isnan(values), self.constant.values, values.astype(dtype))

    def back(self, images: Vector) -> Vector:
        return images


Function = Round | Arithmetic | Fill

_EXACT_KINDS = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "uint8",
    "uint16",
    "uint32",
    "bool",
)


@dataclass(frozen=True)
class Path:
    """A monotone (never decreasing) function of one column of the input.

    Attributes
    ----------
    root : int
        The table column, or the `Encode` step behind a one-hot column.
    dtype : numpy dtype
        float32 or float64: the floats that the column's values are.
    functions : tuple of Round, Arithmetic and Fill
        Applied one after another to a vector of `dtype`.
    guards : tuple of (position, Guard, column)
        Guards met on the way, before the function at that position.
    encode : Encode, optional
        For a one-hot column: the encoder with codes counted from 1, and 0 for every other value.
    category : int
        For a one-hot column: which.
    """

    root: int
    dtype: np.dtype[Any]
    functions: tuple[Function, ...] = ()
    guards: tuple[tuple[int, Guard, int], ...] = ()
    encode: Encode | None = None
    category: int = -1

    def __call__(self, values: Vector) -> Vector:
        values = values.astype(self.dtype)
        with np.errstate(all="ignore"):
            for step in self.functions:
                values = step(values)
        return values

    def then(self, step: Function) -> Path:
        return replace(self, functions=(*self.functions, step))


def trace(program: Program, at: int, c: int, types: tuple[Block, ...]) -> Path | None:
    """The way to column `c` of a step, None where it is not monotone or not from one cell."""
    step = program.steps[at]
    match step.op:
        case Select(columns):
            return _root(columns[c], program, types[at].dtype)
        case Take(columns):
            return trace(program, step.inputs[0], columns[c], types)
        case Concat():
            for i in step.inputs:
                if c < types[i].width:
                    return _cast(trace(program, i, c, types), types[i].dtype, types[at].dtype)
                c -= types[i].width
            return None
        case Cast() | CastLike():
            below = types[step.inputs[0]].dtype
            return _cast(
                trace(program, step.inputs[0], _column(types, step.inputs[0], c), types),
                below,
                types[at].dtype,
            )
        case Guard():
            path = trace(program, step.inputs[0], c, types)
            if path is None or types[at].dtype not in ("float16", "float32", "float64"):
                return path
            return replace(path, guards=(*path.guards, (len(path.functions), step.op, c)))
        case Binary():
            return _arithmetic(program, step, c, types)
        case Where():
            return _imputation(program, step, c, types)
        case OneHot(width, dtype):
            return _one_hot(program, step, c, width, dtype)
        case _:
            return None


def _column(types: tuple[Block, ...], step: int, c: int) -> int:
    return c if types[step].width > 1 else 0


def _root(column: int, program: Program, dtype: str) -> Path | None:
    own = program.columns[column].dtype or "float64"
    if own not in (*_EXACT_KINDS, "int64", "uint64"):
        return None
    path = Path(column, np.dtype("float32" if own in ("float32", "float16") else "float64"))
    return _cast(path, own, dtype)


def _cast(path: Path | None, source: str, target: str) -> Path | None:
    if path is None or source == target or "object" in (source, target):
        return path if source == target else None
    if source in ("int64", "uint64") and target != "float64":
        return None  # the column comes as float64: two roundings instead of one
    if target not in ("float16", "float32", "float64"):
        return None
    if (
        not path.functions
        and source not in ("float16", "float32", "float64")
        and target == "float64"
    ):
        return path  # whole numbers arrive as float64
    return path.then(Round(target))


def _constant(program: Program, at: int, c: int) -> Vector | None:
    op = program.steps[at].op
    if not isinstance(op, Constant) or not isinstance(op.row, Array):
        return None
    row = op.row.values
    return row[c : c + 1] if len(row) > 1 else row


def _arithmetic(program: Program, step: Step, c: int, types: tuple[Block, ...]) -> Path | None:
    name = step.op.ufunc  # pyright: ignore[reportAttributeAccessIssue]
    constant = _constant(program, step.inputs[1], c)
    if constant is None or constant.dtype.kind not in "fiu" or not np.isfinite(constant).all():
        return None
    if types[step.inputs[0]].dtype not in ("float16", "float32", "float64"):
        return None
    if name in ("multiply", "divide") and not (constant > 0).all():
        return None
    if name not in ("add", "subtract", "multiply", "divide", "minimum", "maximum"):
        return None
    path = trace(program, step.inputs[0], _column(types, step.inputs[0], c), types)
    return None if path is None else path.then(Arithmetic(name, Array(constant)))


def _imputation(program: Program, step: Step, c: int, types: tuple[Block, ...]) -> Path | None:
    condition, _, below = (program.steps[i] for i in step.inputs)
    constant = _constant(program, step.inputs[1], c)
    if not isinstance(condition.op, IsMissing) or condition.op.rule == "value" or constant is None:
        return None
    if program.steps[condition.inputs[0]] != below or not np.isfinite(constant).all():
        return None
    here, kept = types[step.inputs[2]], np.result_type(types[step.inputs[2]].dtype, constant.dtype)
    if here.dtype not in ("float16", "float32", "float64"):
        return None
    path = trace(program, step.inputs[2], _column(types, step.inputs[2], c), types)
    if path is None:
        return None
    return path.then(Fill(Array(constant.astype(kept))))


def _one_hot(program: Program, step: Step, c: int, width: int, dtype: str) -> Path | None:
    encode = program.steps[step.inputs[0]].op
    if not isinstance(encode, Encode) or dtype not in ("float32", "float64"):
        return None
    if not isinstance(program.steps[program.steps[step.inputs[0]].inputs[0]].op, Select):
        return None

    def shifted(code: int) -> int:
        return code + 1 if 0 <= code < width else 0

    if encode.strict:
        return None
    codes = encode.codes.values
    moved = replace(
        encode,
        codes=Array(np.where((codes >= 0) & (codes < width), codes + 1, 0), "int32"),
        nan=shifted(encode.nan),
        none=shifted(encode.none),
        unknown=shifted(encode.unknown),
    )
    return Path(step.inputs[0], np.dtype(dtype), encode=moved, category=c)


# -- bisection over the floats ---------------------------------------------------------------------
def _ordered(values: Vector) -> npt.NDArray[np.int64]:
    """Whole numbers in the order of the floats."""
    bits = values.view(np.int32 if values.dtype.itemsize == 4 else np.int64).astype(np.int64)
    lowest = np.int64(-(2**31)) if values.dtype.itemsize == 4 else np.iinfo(np.int64).min
    return np.where(bits < 0, lowest - bits, bits)


def _floats(ordered: npt.NDArray[np.int64], dtype: np.dtype[Any]) -> Vector:
    lowest = np.int64(-(2**31)) if dtype.itemsize == 4 else np.iinfo(np.int64).min
    bits = np.where(ordered < 0, lowest - ordered, ordered)
    return bits.astype(np.int32 if dtype.itemsize == 4 else np.int64).view(dtype)


def largest_at_most(path: Path, bounds: Vector, strict: bool) -> npt.NDArray[np.float64]:
    """For each bound, the largest x with ``path(x) <= bound`` (``<`` if strict); NaN where none is."""

    def holds(x: Vector) -> npt.NDArray[np.bool_]:
        image = path(x).astype(np.float64)
        return image < bounds if strict else image <= bounds

    return _last_that_holds(holds, _guess(path, bounds), path.dtype)


def smallest_at_least(path: Path, bounds: Vector) -> npt.NDArray[np.float64]:
    """For each bound, the smallest x with ``path(x) >= bound``; NaN where none is."""

    def holds(negated: Vector) -> npt.NDArray[np.bool_]:
        return path(-negated).astype(np.float64) >= bounds

    return -_last_that_holds(holds, -_guess(path, bounds), path.dtype)


def _guess(path: Path, bounds: Vector) -> Vector:
    """About where the bounds come from: the inverse of every function, in real arithmetic."""
    with np.errstate(all="ignore"):
        guess = bounds.astype(np.float64)
        for step in reversed(path.functions):
            guess = step.back(guess)
        most = float(np.finfo(path.dtype).max)
        return np.clip(np.nan_to_num(guess, nan=0.0), -most, most).astype(path.dtype)


def _last_that_holds(
    holds: Callable[[Vector], npt.NDArray[np.bool_]], guess: Vector, dtype: np.dtype[Any]
) -> npt.NDArray[np.float64]:
    """The largest float for which a property holds that holds up to some float and not beyond.

    Bisection over all floats, which the guess usually shortens to a few of them.
    """
    low = np.full(len(guess), _ordered(np.array([-np.inf], dtype))[0])
    high = np.full(len(guess), _ordered(np.array([np.inf], dtype))[0])
    never, always = ~holds(_floats(low, dtype)), holds(_floats(high, dtype))
    centre = _ordered(guess)
    for reach in (1 << 10, 1 << 31):
        below, above = np.maximum(centre - reach, low), np.minimum(centre + reach, high)
        good_below, good_above = holds(_floats(below, dtype)), holds(_floats(above, dtype))
        low = np.where(good_above, above, np.where(good_below, below, low))
        high = np.where(~good_below, below, np.where(~good_above, above, high))
        if ((high >> 1) - (low >> 1) <= reach).all():
            break
    while True:
        gap = (high >> 1) - (low >> 1)
        if (gap <= 1).all() and (high - low <= 1).all():
            break
        middle = np.clip(low + gap, low + (low < high), high)
        good = holds(_floats(middle, dtype))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    found = _floats(low, dtype).astype(np.float64)
    return np.where(never, np.nan, np.where(always, np.inf, found))
