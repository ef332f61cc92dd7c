"""Missing cells and the codes of categories.

A cell of text is a pointer: NULL is a null, and ``<name>_nan`` and ``<name>_none`` are marks for NaN
and for Python's None, told by their address.
"""

from __future__ import annotations

import numpy as np

from millrace.backends.c.elementwise import refuse
from millrace.backends.c.function import Buffer, Function
from millrace.backends.c.unit import check_texts
from millrace.backends.c.words import literal, smallest, string
from millrace.ir.arrays import Text
from millrace.ir.ops import Encode, IsMissing


def text_is_missing(f: Function, cell: str, with_none: bool) -> str:
    """Whether a cell of text is NaN or a null, or None as well."""
    f.unit.has_text = True
    none = f" || {cell} == {f.unit.name}_none" if with_none else ""
    return f"({cell} == NULL || {cell} == {f.unit.name}_nan{none})"


def is_missing(f: Function, x: Buffer, i: str, op: IsMissing) -> str:
    """`IsMissing` of one cell."""
    cell = x.cell(i)
    if op.rule == "value":
        if x.is_text != isinstance(op.value, str):
            return "false"
        if isinstance(op.value, str):
            check_texts((op.value,), f.step)
            return f"!{text_is_missing(f, cell, True)} && strcmp({cell}, {string(op.value)}) == 0"
        assert op.value is not None
        return f"{cell} == {literal(op.value, 'float64')}"
    if x.is_text:
        return text_is_missing(f, cell, op.rule == "none")
    return f"isnan({cell}) != 0" if x.dtype.startswith("float") else "false"


def encode(f: Function, x: Buffer, op: Encode) -> Buffer:
    """`Encode`: a search among the sorted categories."""
    target = f.new()
    cell, code = x.cell(), target.cell()
    if op.hashed:
        _search_hash(f, x, code, op)
        return _known(f, code, op, target)
    f.line(f"{code} = {op.unknown};")
    if x.is_text:
        null = op.none if op.none != op.unknown else op.nan
        marks = f.unit.name
        f.unit.has_text = True
        f.line(f"if ({cell} == NULL) {code} = {null};")
        f.line(f"else if ({cell} == {marks}_nan) {code} = {op.nan};")
        f.line(f"else if ({cell} == {marks}_none) {code} = {op.none};")
        if isinstance(op.categories, Text) and len(op.categories):
            f.line("else {")
            _search_text(f, cell, code, op, op.categories)
            f.line("}")
    elif isinstance(op.categories, Text):
        if x.dtype.startswith("float"):
            f.line(f"if (isnan({cell})) {code} = {op.nan};")
    else:
        _search_number(f, x, code, op)
    return _known(f, code, op, target)


def _known(f: Function, code: str, op: Encode, target: Buffer) -> Buffer:
    """The code, unless it is that of an unknown category and the encoder refuses these."""
    if op.strict:
        status = f.unit.status(
            "UNKNOWN_CATEGORY", f"column {op.owner_column!r} holds an unknown category"
        )
        f.line(f"if ({code} == {op.unknown}) return {status};")
    return target


def _search_hash(f: Function, x: Buffer, code: str, op: Encode) -> None:
    """CatBoost's categories: the hash of a text is looked up, and no cell may be missing."""
    if not x.is_text:
        raise refuse("Encode", f.step, "CatBoost knows a number by its text, which C has not")
    status = f.unit.status("REFUSED_ROW", "CatBoost takes no missing cells as categories")
    f.line(f"if ({text_is_missing(f, x.cell(), True)}) return {status};")
    f.line(f"{code} = {op.unknown};")
    f.line("{")
    _find_number(f, f"{f.unit.helper('category_hash')}({x.cell()})", code, op)
    f.line("}")


def _search_text(f: Function, cell: str, code: str, op: Encode, categories: Text) -> None:
    table = dict(zip(categories.values, op.codes.values.tolist(), strict=True))
    words = sorted(table, key=lambda w: w.encode())
    texts = f.unit.texts(tuple(words), f.step)
    found = f"{f.unit.helper('find_text')}({texts}, {len(words)}, {cell})"
    _look_up(f, found, code, [table[w] for w in words])


def _search_number(f: Function, x: Buffer, code: str, op: Encode) -> None:
    number = f"(double){x.cell()}"
    f.line(f"if (isnan({number})) {code} = {op.nan};")
    f.line("else {")
    _find_number(f, number, code, op)
    f.line("}")


def _find_number(f: Function, number: str, code: str, op: Encode) -> None:
    numbers = np.asarray(op.categories.values, np.float64)  # pyright: ignore[reportAttributeAccessIssue]
    table = dict(zip(numbers.tolist(), op.codes.values.tolist(), strict=True))
    known = sorted(n for n in table if n == n)
    name = f.unit.numbers(known, "float64")
    found = f"{f.unit.helper('find_number')}({name}, {len(known)}, {number})"
    _look_up(f, found, code, [table[n] for n in known])


def _look_up(f: Function, found: str, code: str, codes: list[int]) -> None:
    f.line(f"    const int32_t at = {found};")
    if codes == list(range(len(codes))):
        f.line(f"    if (at >= 0) {code} = at;")
    else:
        f.line(f"    if (at >= 0) {code} = {f.unit.numbers(codes, smallest(codes))}[at];")
