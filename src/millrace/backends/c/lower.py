"""One primitive at a time into C; what C cannot express is refused by name."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from millrace.backends.c import rows
from millrace.backends.c.codes import encode, is_missing, text_is_missing
from millrace.backends.c.elementwise import expression, refuse
from millrace.backends.c.forests import tree_leaves, tree_sums
from millrace.backends.c.function import Buffer, Function
from millrace.backends.c.words import CTYPES, ctype, literal
from millrace.ir import ops
from millrace.ir.arrays import Array, Text


def lower(f: Function) -> Buffer:
    """Write the current step and return its value.

    Raises
    ------
    ExportError
        It has no counterpart with the same answers.
    """
    op, inputs, block = f.program.steps[f.step].op, f.inputs(), f.types[f.step]
    if block.dtype != "object" and block.dtype not in CTYPES:
        raise refuse(type(op).__name__, f.step, f"C99 has no type for {block.dtype}")
    match op:
        case ops.Select(columns):
            return _select(f, columns)
        case ops.Constant(row):
            return _constant(f, row)
        case ops.Cast() | ops.CastLike():
            return cast(f, inputs[0], block.dtype, type(op).__name__)
        case ops.Unary(ufunc) | ops.Binary(ufunc):
            return _elementwise(f, ufunc, inputs)
        case ops.IsMissing():
            return f.assign(f.new(), lambda i: is_missing(f, inputs[0], i, op))
        case ops.Where():
            return _where(f, inputs)
        case ops.Concat():
            return _concat(f, inputs)
        case ops.Take(columns):
            return _take(f, inputs[0], columns)
        case ops.MatMul(weights):
            return _matmul(f, inputs[0], weights)
        case ops.Reduce(name):
            return rows.reduce(f, inputs[0], name)
        case ops.Accumulate(ufunc):
            return rows.accumulate(f, inputs[0], ufunc)
        case ops.ArgSort():
            return rows.argsort(f, inputs[0])
        case ops.PickAlong():
            return rows.pick_along(f, *inputs)
        case ops.SearchSorted():
            return rows.search_sorted(f, inputs[0], op)
        case ops.Interpolate():
            return rows.interpolate(f, inputs[0], op)
        case ops.Distances():
            return rows.distances(f, inputs[0], op)
        case ops.Nearest():
            return rows.nearest(f, inputs[0], op)
        case ops.Sparse() | ops.Dense():
            return inputs[0]
        case ops.Require(owner, problem):
            code = f.unit.status("REFUSED_ROW", f"{owner}: {problem}")
            f.each(inputs[1].width, lambda i: f"if (!{inputs[1].cell(i)}) return {code};")
            return inputs[0]
        case ops.Encode():
            return encode(f, inputs[0], op)
        case ops.OneHot():
            return f.assign(f.new(), lambda i: f"{inputs[0].cell()} == {i}")
        case ops.Gather(table):
            return _gather(f, inputs[0], table)
        case ops.Guard():
            return _guard(f, inputs[0], op)
        case ops.Trees(forest):
            return tree_sums(f, inputs[0], forest)
        case ops.Leaves(forest):
            return tree_leaves(f, inputs[0], forest)
        case ops.Call():
            raise refuse("Call", f.step, f"{op.path or 'the model'} calls Python ({op.reason})")
        case ops.Terms() | ops.Features():
            raise refuse(type(op).__name__, f.step, "texts are taken apart by Python's own rules")
        case ops.Spline():
            return rows.spline(f, inputs[0], op)
        case ops.ImputeNearest():
            raise refuse("ImputeNearest", f.step, "it is not written in C yet")
        case _:
            assert_never(op)


def _select(f: Function, columns: tuple[int, ...]) -> Buffer:
    place = f.place
    numbers, texts = ([p[c] for c in columns if c in p] for p in (place.number, place.text))
    if numbers and texts:
        raise refuse("Select", f.step, "it reads numbers and text into one block")
    positions = texts or numbers
    if not positions:
        return Buffer("numbers", f.types[f.step].dtype, 0)
    source, dtype = ("texts", "object") if texts else ("numbers", place.dtype)
    f.reads.add(source)
    return _picked(f, Buffer(source, dtype, max(positions) + 1), positions)


def _take(f: Function, source: Buffer, columns: tuple[int, ...]) -> Buffer:
    return _picked(f, source, [c % source.width for c in columns])


def _picked(f: Function, source: Buffer, positions: list[int]) -> Buffer:
    """Cells by position: in place where they lie side by side."""
    first = positions[0] if positions else 0
    if positions == list(range(first, first + len(positions))):
        name = f"({source.name} + {first})" if first else source.name
        return Buffer(name, source.dtype, len(positions))
    target = f.new(source.dtype, len(positions))
    if len(positions) <= 8:
        for i, position in enumerate(positions):
            f.line(f"{target.name}[{i}] = {source.name}[{position}];")
        return target
    table = f.unit.numbers(positions, "int32")
    return f.assign(target, lambda i: f"{source.name}[{table}[{i}]]")


def _constant(f: Function, row: Array | Text) -> Buffer:
    if isinstance(row, Text):
        return Buffer(f.unit.texts(row.values, f.step), "object", len(row))
    dtype = str(row.dtype)
    return Buffer(f.unit.numbers(row.values, dtype), dtype, len(row))


def cast(f: Function, source: Buffer, dtype: str, primitive: str) -> Buffer:
    """A block in another dtype, by NumPy's rules."""
    if source.dtype == dtype:
        return source
    if "object" in (source.dtype, dtype):
        raise refuse(primitive, f.step, "numbers and text cannot be turned into each other")
    return f.assign(
        f.new(dtype, source.width), lambda i: cast_cell(f, source.cell(i), source, dtype)
    )


def cast_cell(f: Function, cell: str, source: Buffer, dtype: str) -> str:
    """One cell in another dtype; a float that does not fit becomes what the processor makes of it."""
    if source.dtype == dtype:
        return cell
    if source.dtype.startswith("float") and "int" in dtype:
        wide = "to_int64" if dtype in ("int64", "uint64", "uint32") else "to_int32"
        return f"({ctype(dtype)}){f.unit.helper(wide)}({cell})"
    return f"({ctype(dtype)}){cell}"


def _elementwise(f: Function, ufunc: str, inputs: list[Buffer]) -> Buffer:
    target = f.new()
    if any(b.is_text for b in inputs):
        return _compare_texts(f, ufunc, inputs, target)
    dtypes = tuple(b.dtype for b in inputs)

    def cell(i: str) -> str:
        cells = [b.cell(i) for b in inputs]
        if ufunc == "power" and inputs[1].width == 1 and target.dtype.startswith("float"):
            return _power(f, cells, dtypes, inputs[1])
        return expression(f.unit, ufunc, f.step, cells, dtypes)

    return f.assign(target, cell)


def _power(f: Function, cells: list[str], dtypes: tuple[str, ...], exponent: Buffer) -> str:
    """NumPy squares where the one exponent of a row is 2."""
    general = expression(f.unit, "power", f.step, cells, dtypes)
    if f.types[f.step].width == 1 and not exponent.name.startswith("c"):
        return general
    x = f"({ctype(f.types[f.step].dtype)}){cells[0]}"
    return f"{cells[1]} == 2 ? {x} * {x} : {general}"


def _compare_texts(f: Function, ufunc: str, inputs: list[Buffer], target: Buffer) -> Buffer:
    if ufunc not in ("equal", "not_equal") or not all(b.is_text for b in inputs):
        raise refuse("Binary", f.step, f"{ufunc} of text")
    a, b = inputs
    same = "!{0} && !{1} && strcmp({2}, {3}) == 0"

    def cell(i: str) -> str:
        x, y = a.cell(i), b.cell(i)
        none = f"({x} == {f.unit.name}_none && {y} == {f.unit.name}_none)"
        gone = [text_is_missing(f, v, True) for v in (x, y)]
        equal = f"({none} || ({same.format(*gone, x, y)}))"
        return equal if ufunc == "equal" else f"!{equal}"

    return f.assign(target, cell)


def _where(f: Function, inputs: list[Buffer]) -> Buffer:
    condition, a, b = inputs
    target = f.new()
    if target.is_text and not (a.is_text and b.is_text):
        raise refuse("Where", f.step, "it mixes numbers and text")

    def cell(i: str) -> str:
        chosen = [cast_cell(f, x.cell(i), x, target.dtype) for x in (a, b)]
        return f"{condition.cell(i)} ? {chosen[0]} : {chosen[1]}"

    return f.assign(target, cell)


def _concat(f: Function, inputs: list[Buffer]) -> Buffer:
    target = f.new()
    if target.is_text and not all(b.is_text for b in inputs if b.width):
        raise refuse("Concat", f.step, "it puts numbers and text into one block")
    at = 0
    for source in inputs:
        part = Buffer(f"({target.name} + {at})" if at else target.name, target.dtype, source.width)
        f.assign(part, lambda i, s=source: cast_cell(f, s.cell(i), s, target.dtype))
        at += source.width
    return target


def _matmul(f: Function, x: Buffer, weights: Array) -> Buffer:
    """Products added up from the first column on."""
    target = f.new()
    kind, m = ctype(target.dtype), target.width
    table = f.unit.numbers(weights.values, target.dtype)
    f.assign(target, lambda i: "0")
    f.line(f"for (int k = 0; k < {x.width}; k++) {{")
    f.line(f"    const {kind} x = ({kind}){x.name}[k];")
    f.line(f"    for (int j = 0; j < {m}; j++) {target.name}[j] += x * {table}[k * {m} + j];")
    f.line("}")
    return target


def _gather(f: Function, codes: Buffer, table: Array | Text) -> Buffer:
    if isinstance(table, Text):
        name = f.unit.texts(table.values, f.step)
        return f.assign(f.new(), lambda _: f"{name}[{codes.cell()}]")
    dtype, width = str(table.dtype), f.types[f.step].width
    name = f.unit.numbers(table.values, dtype)
    if width == 1:
        return f.assign(f.new(), lambda _: f"{name}[{codes.cell()}]")
    return Buffer(f"({name} + {width} * (size_t){codes.cell()})", dtype, width)


def _guard(f: Function, x: Buffer, op: ops.Guard) -> Buffer:
    code = f.unit.status(
        "NON_FINITE", f"{op.owner} takes no such number: NaN, infinity or too large"
    )
    if x.is_text:
        if not op.allow_nan:
            f.each(x.width, lambda i: f"if ({text_is_missing(f, x.cell(i), False)}) return {code};")
        return x
    if not x.dtype.startswith("float"):
        return x
    suffix = "f" if x.dtype == "float32" else ""
    most = "FLT_MAX" if suffix else "DBL_MAX"

    def passes(i: str) -> str:
        cell = x.cell(i)
        if op.low is None and op.high is None:
            return f"fabs{suffix}({cell}) <= {most}"
        low, high = (
            _limit(f, limit, i, default)
            for limit, default in ((op.low, f"-{most}"), (op.high, most))
        )
        return f"({cell} >= {low} && {cell} <= {high})"

    nan = " && !isnan({0})" if op.allow_nan else ""
    f.each(x.width, lambda i: f"if (!({passes(i)}){nan.format(x.cell(i))}) return {code};")
    return x


def _limit(f: Function, limit: Array | None, i: str, default: str) -> str:
    if limit is None:
        return default
    values = np.asarray(limit.values, np.float64).ravel()
    if len(set(values.tolist())) == 1:
        return literal(float(values[0]), "float64")
    return f"{f.unit.numbers(values, 'float64')}[{i}]"
