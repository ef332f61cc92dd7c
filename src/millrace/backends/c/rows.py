"""Primitives that look at a whole row: reductions, sorting, searching, distances."""

from __future__ import annotations

import numpy as np

from millrace.backends.c.elementwise import expression, refuse
from millrace.backends.c.function import Buffer, Function
from millrace.backends.c.words import ctype, literal
from millrace.ir.numeric import metric_of
from millrace.ir.ops import Distances, Interpolate, Nearest, SearchSorted, Spline


def reduce(f: Function, x: Buffer, name: str) -> Buffer:
    """One number of a row, in the order in which NumPy adds, multiplies or compares."""
    target = f.new()
    out, n = target.cell(), x.width
    if x.is_text:
        raise refuse("Reduce", f.step, f"{name} of text")
    if name in ("argmax", "argmin"):
        return _arg(f, x, name, target)
    if name in ("any", "all"):
        f.line(f"{out} = {'false' if name == 'any' else 'true'};")
        joined = "||" if name == "any" else "&&"
        f.each(n, lambda i: f"{out} = {out} {joined} {x.cell(i)} != 0;")
        return target
    if name in ("max", "min"):
        if n == 0:
            raise refuse("Reduce", f.step, f"{name} of a row without cells")
        f.line(f"{out} = {x.name}[0];")
        ufunc = {"max": "maximum", "min": "minimum"}[name]
        _fold(f, x, out, ufunc, first=1)
        return target
    if name == "prod":
        f.line(f"{out} = 1;")
        _fold(f, x, out, "multiply", first=0)
        return target
    if name == "square_sum":
        f.line(f"{out} = 0;")
        f.each(n, lambda i: f"{out} += {x.cell(i)} * {x.cell(i)};")
        return target
    return _sum(f, x, name, target)


def _fold(f: Function, x: Buffer, out: str, ufunc: str, first: int) -> None:
    dtype = f.types[f.step].dtype
    cell = f"({ctype(dtype)}){x.name}[i]"
    combined = expression(f.unit, ufunc, f.step, [out, cell], (dtype, dtype))
    f.line(f"for (int i = {first}; i < {x.width}; i++) {out} = {combined};")


def _sum(f: Function, x: Buffer, name: str, target: Buffer) -> Buffer:
    out, dtype = target.cell(), target.dtype
    if x.dtype.startswith("float"):
        f.line(f"{out} = {f.unit.helper('pairwise', x.dtype)}({x.name}, {x.width});")
    elif name == "mean":  # NumPy converts whole numbers first
        terms = f.new("float64", x.width)
        f.assign(terms, lambda i: f"(double){x.cell(i)}")
        f.line(f"{out} = {f.unit.helper('pairwise')}({terms.name}, {x.width});")
    else:
        f.line(f"{out} = 0;")
        _fold(f, x, out, "add", first=0)
    if name == "mean":
        f.line(f"{out} /= {literal(x.width, dtype)};")
    return target


def _arg(f: Function, x: Buffer, name: str, target: Buffer) -> Buffer:
    """The first position of the largest or smallest cell; the first NaN is before all."""
    out, sign = target.cell(), ">" if name == "argmax" else "<"
    best = f"{x.name}[{out}]"
    better = f"{x.name}[i] {sign} {best}"
    if x.dtype.startswith("float"):
        better = f"!isnan({best}) && ({better} || isnan({x.name}[i]))"
    f.line(f"{out} = 0;")
    if x.width > 1:
        f.line(f"for (int i = 1; i < {x.width}; i++) if ({better}) {out} = i;")
    return target


def accumulate(f: Function, x: Buffer, ufunc: str) -> Buffer:
    """Running results of a row."""
    target = f.new()
    if x.is_text:
        raise refuse("Accumulate", f.step, f"{ufunc} of text")
    kind = ctype(target.dtype)
    if x.width:
        f.line(f"{target.name}[0] = ({kind}){x.name}[0];")
    cells = [f"{target.name}[i - 1]", f"({kind}){x.name}[i]"]
    combined = expression(f.unit, ufunc, f.step, cells, (target.dtype, target.dtype))
    if x.width > 1:
        f.line(f"for (int i = 1; i < {x.width}; i++) {target.name}[i] = {combined};")
    return target


def argsort(f: Function, x: Buffer) -> Buffer:
    """Positions of a row in ascending order, by insertion, which is stable; NaN comes last."""
    if x.is_text:
        raise refuse("ArgSort", f.step, "an order of text")
    target = f.new()
    order = target.name
    before = f"{x.name}[i] < {x.name}[{order}[j - 1]]"
    if x.dtype.startswith("float"):
        before = f"({before} || (isnan({x.name}[{order}[j - 1]]) && !isnan({x.name}[i])))"
    f.line(f"for (int i = 0; i < {x.width}; i++) {{")
    f.line("    int j = i;")
    f.line(f"    for (; j > 0 && {before}; j--) {order}[j] = {order}[j - 1];")
    f.line(f"    {order}[j] = i;")
    f.line("}")
    return target


def pick_along(f: Function, x: Buffer, positions: Buffer) -> Buffer:
    """Cells of a row by the positions of another; a negative one counts from the end."""
    at = positions.cell
    if positions.dtype.startswith("float"):
        raise refuse("PickAlong", f.step, "positions that are no whole numbers")
    return f.assign(f.new(), lambda i: f"{x.name}[{at(i)} < 0 ? {at(i)} + {x.width} : {at(i)}]")


def _slices(start: np.ndarray, width: int) -> list[tuple[int, int]]:
    return [(int(start[c]), int(start[c + 1])) for c in range(width)]


def search_sorted(f: Function, x: Buffer, op: SearchSorted) -> Buffer:
    """Where each cell stands among the edges of its column."""
    target = f.new()
    table = f.unit.numbers(op.edge.values, "float64")
    search = f.unit.helper(f"search_{op.side}")
    start = _starts(f, op.start.values)
    length = f"{start}[{{0}} + 1] - {start}[{{0}}]"
    return f.assign(
        target,
        lambda i: f"{search}({table} + {start}[{i}], {length.format(i)}, (double){x.cell(i)})",
    )


def interpolate(f: Function, x: Buffer, op: Interpolate) -> Buffer:
    """Linear interpolation between the points of each column."""
    target = f.new()
    if any(first == stop for first, stop in _slices(op.start.values, x.width)):
        raise refuse("Interpolate", f.step, "a column without points")
    xp, fp = (f.unit.numbers(a.values, "float64") for a in (op.xp, op.fp))
    start = _starts(f, op.start.values)
    call = f.unit.helper("interpolate")
    return f.assign(
        target,
        lambda i: (
            f"{call}({xp} + {start}[{i}], {fp} + {start}[{i}], "
            f"{start}[{i} + 1] - {start}[{i}], (double){x.cell(i)})"
        ),
    )


def _starts(f: Function, start: np.ndarray) -> str:
    return f.unit.numbers(start, "int32")


def spline(f: Function, x: Buffer, op: Spline) -> Buffer:
    """Coefficients times the basis functions that are not zero at the cell."""
    target, k = f.new(), op.degree
    basis = f.new("float64", 2 * k + 2)
    knots = f.unit.numbers(op.knots.values, "float64")
    coefficients = f.unit.numbers(op.coefficients.values, "float64")
    value, n = f"(double){x.cell()}", len(op.knots)
    if op.extrapolate == "periodic":
        first, last = (literal(op.knots.values[i], "float64") for i in (k, n - k - 1))
        remainder = f.unit.helper("python_remainder")
        value = f"{first} + {remainder}({value} - {first}, {last} - {first})"
    outside = int(op.extrapolate == "yes")
    call = f.unit.helper("spline_basis")
    f.line("{")
    f.line(f"const int at = {call}({knots}, {n}, {k}, {outside}, {value}, {basis.name});")
    f.line(f"for (int j = 0; j < {target.width}; j++) {{")
    f.line(f"    {target.name}[j] = at < 0 ? NAN : 0;")
    f.line(f"    for (int a = 0; at >= 0 && a <= {k}; a++)")
    f.line(
        f"        {target.name}[j] += "
        f"{coefficients}[(at + a) * {target.width} + j] * {basis.name}[a];"
    )
    f.line("}")
    f.line("}")
    return target


def distances(f: Function, x: Buffer, op: Distances) -> Buffer:
    """Distances to every point."""
    target = f.new()
    f.line(f"for (int p = 0; p < {len(op.points)}; p++) {{")
    _one_distance(f, x, op)
    f.line(f"    {target.name}[p] = distance;")
    f.line("}")
    return target


def nearest(f: Function, x: Buffer, op: Nearest) -> Buffer:
    """All points are tried; of the best, sorted as they come, ``k`` are kept."""
    target = f.new()
    far, at, k = target.name, f"({target.name} + {op.k})", op.k
    f.line("{")
    f.line("int kept = 0;")
    f.line(f"for (int p = 0; p < {len(op.points)}; p++) {{")
    _one_distance(f, x, op)
    later = f"(distance < {far}[j - 1] || (isnan({far}[j - 1]) && !isnan(distance)))"
    f.line(f"    int j = kept < {k} ? kept++ : {k};")
    f.line(f"    if (j == {k} && !{later}) continue;")
    f.line(f"    if (j == {k}) j--;")
    f.line(f"    for (; j > 0 && {later}; j--) {{")
    f.line(f"        {far}[j] = {far}[j - 1];")
    f.line(f"        {at}[j] = {at}[j - 1];")
    f.line("    }")
    f.line(f"    {far}[j] = distance;")
    f.line(f"    {at}[j] = p;")
    f.line("}")
    f.line("}")
    return target


def _one_distance(f: Function, x: Buffer, op: Distances | Nearest) -> None:
    """Lines that compute ``distance`` of the row to point ``p``."""
    width = x.width
    points = f.unit.numbers(op.points.values, "float64")
    cells = f"(double){x.name}[c]", f"{points}[(size_t)p * {width} + c]"
    metric, p = metric_of(op), op.p
    if metric == "nan_euclidean":
        return _nan_distance(f, width, *cells)
    power = literal(p, "float64")
    term = {
        "cityblock": "distance += fabs(d);",
        "chebyshev": "if (fabs(d) > distance || isnan(d)) distance = fabs(d);",
        "minkowski": f"distance += pow(fabs(d), {power});",
    }.get(metric, "distance += d * d;")
    f.line("    double distance = 0;")
    f.line(f"    for (int c = 0; c < {width}; c++) {{")
    f.line(f"        const double d = {cells[0]} - {cells[1]};")
    f.line(f"        {term}")
    f.line("    }")
    if metric == "euclidean":
        f.line("    distance = sqrt(distance);")
    elif metric == "minkowski":
        f.line(f"    distance = pow(distance, {literal(1 / p, 'float64')});")
    return None


def _nan_distance(f: Function, width: int, x: str, point: str) -> None:
    """Over the columns that both have, scaled up to all; NaN where they share none."""
    f.line("    int shared = 0;")
    f.line("    double distance = 0;")
    f.line(f"    for (int c = 0; c < {width}; c++) {{")
    f.line(f"        const double d = {x} - {point};")
    f.line("        if (isnan(d)) continue;")
    f.line("        shared++;")
    f.line("        distance += d * d;")
    f.line("    }")
    f.line(f"    distance = shared ? sqrt(distance / shared * {width}) : NAN;")
