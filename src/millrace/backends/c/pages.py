"""The two files and the description, put together from what the functions need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from millrace.backends.c.function import Buffer, Place
from millrace.backends.c.unit import KINDS, Unit
from millrace.backends.c.words import (
    comment,
    ctype,
    declare,
    distinct,
    identifier,
    size,
    string,
    wrapped,
)
from millrace.ir.arrays import Text
from millrace.ir.ops import Select
from millrace.ir.program import Output, Program


@dataclass(frozen=True)
class Columns:
    """The input table and how it reaches the functions."""

    program: Program
    place: Place

    @property
    def read(self) -> set[int]:
        """Columns that some function reads."""
        return {c for s in self.program.steps if isinstance(s.op, Select) for c in s.op.columns}

    def names(self, places: dict[int, int]) -> list[str]:
        """Identifiers of the columns of one kind."""
        return distinct([identifier(self.program.columns[c].name).upper() for c in places])


@dataclass(frozen=True)
class Export:
    """One function: its body, its result, and what it computes in.

    Attributes
    ----------
    output : Output
    public : str
        Its name in C.
    result : Buffer
    lines : list of str
    work : list of (type, name, cells)
    has_scratch : bool
        Whether the caller hands in the memory to compute in.
    labels : Text, optional
        What the numbers of the result stand for.
    comment : str
    text_dtype : str
        NumPy dtype of a result of text.
    """

    output: Output
    public: str
    result: Buffer
    lines: list[str]
    work: list[tuple[str, str, int]]
    has_scratch: bool
    labels: Text | None
    comment: str
    text_dtype: str = "object"

    def row(self, place: Place) -> str:
        """The signature of the function for one row."""
        return self._signature("", "", place)

    def batch(self, place: Place) -> str:
        """The signature of the function for many rows."""
        return self._signature("_batch", "size_t n_rows, ", place)

    def _signature(self, suffix: str, rows: str, place: Place) -> str:
        scratch = f", struct {self.public}_scratch *scratch" if self.has_scratch else ""
        refused = ", size_t *refused_row" if suffix else ""
        words = (
            f"int {self.public}{suffix}(const {ctype(place.dtype)} *numbers, "
            f"const char *const *texts, {rows}"
            f"{declare(ctype(self.result.dtype), '*out')}{refused}{scratch})"
        ).split(", ")
        lines = [words[0]]
        for word in words[1:]:
            if len(lines[-1]) + len(word) > 96:
                lines.append(f"    {word}")
            else:
                lines[-1] += f", {word}"
        return ",\n".join(lines)

    def work_struct(self) -> str:
        """The declaration of what it computes in."""
        members = "".join(f"    {declare(kind, name)}[{n}];\n" for kind, name, n in self.work)
        return f"struct {self.public}_scratch {{\n{members}}};\n"


# -- the header ------------------------------------------------------------------------------------
def header(unit: Unit, exports: list[Export], columns: Columns, title: str) -> str:
    """The text of the header."""
    guard = f"{unit.name.upper()}_H"
    parts = [
        f"/* {comment(title)}\n{_NOTES.format(name=unit.name)} */",
        f"#ifndef {guard}\n#define {guard}\n",
        "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        *_column_enums(unit, columns),
        *_status(unit),
        *(_declaration(unit, e, columns) for e in exports),
        "#ifdef __cplusplus\n}\n#endif\n",
        "#endif",
    ]
    return "\n".join(parts) + "\n"


_NOTES = """\
 *
 * Written by Millrace. Needs libc and libm. Allocates nothing and keeps no state: safe to call from
 * many threads at once. Compile as C99 with any optimisation that keeps IEEE arithmetic:
 *
 *     cc -std=c99 -O2 -ffp-contract=off -c {name}.c
 *
 * Every function answers one row and returns a status: 0, or why the row is refused, as the library
 * does that the model was fitted with ({name}_strerror says it in words). `out` is then unspecified.
 * The functions that end in _batch take rows one after another, stop at the first that is refused, and
 * say which it was in *refused_row, unless that is NULL.
"""


def _column_enums(unit: Unit, columns: Columns) -> Iterator[str]:
    """Where each column stands."""
    upper, place = unit.name.upper(), columns.place
    for kind, what, places in (
        ("NUMBER", f"{ctype(place.dtype)}; a missing value is NaN", place.number),
        ("TEXT", "UTF-8 text that ends in a zero byte; a missing value is NULL", place.text),
    ):
        lines: list[str] = []
        for (c, at), name in zip(places.items(), columns.names(places), strict=True):
            column = columns.program.columns[c]
            note = "" if c in columns.read else ", not read"
            codes = "" if column.categories is None else _category_note(column.categories)
            lines.append(
                f"    {upper}_{kind}_{name} = {at}, /* {comment(column.name)}{note}{codes} */\n"
            )
        lines.append(f"    {upper}_{kind}S = {len(places)} /* cells of a row */\n")
        array = f"{kind.lower()}s"
        yield (
            f"/* Places of a row in `{array}`, the columns of {what}. */\n"
            f"enum {unit.name}_{kind.lower()} {{\n{''.join(lines)}}};\n"
        )
    if unit.has_text:
        yield (
            f"/* Cells of text that are NaN or None where the model tells them apart from NULL. */\n"
            f"extern const char {unit.name}_nan[], {unit.name}_none[];\n"
        )


def _category_note(categories: tuple[Any, ...]) -> str:
    shown = ", ".join(f"{i}: {comment(str(v))}" for i, v in enumerate(categories[:200]))
    return f"; the code of its category, NaN for others: {shown}"


def _status(unit: Unit) -> Iterator[str]:
    upper = unit.name.upper()
    kinds = "".join(f"    {upper}_{kind} = {i},\n" for i, kind in enumerate(KINDS))
    yield (
        f"/* Kinds of status: {upper}_KIND(status). */\n"
        f"enum {unit.name}_kind {{\n{kinds.removesuffix(chr(44) + chr(10))}\n}};\n"
        f"#define {upper}_KIND(status) ((status) & 15)\n"
    )
    yield f"/* A status in words. */\nconst char *{unit.name}_strerror(int status);\n"


def _declaration(unit: Unit, export: Export, columns: Columns) -> str:
    """One function with what it writes."""
    parts: list[str] = []
    output, result = export.output, export.result
    shape = f"{result.width}"
    if output.shape == "cube":
        shape = f"{result.width // output.depth} x {output.depth} = {result.width}"
    means = f": {comment(export.comment)}" if export.comment else ""
    what = f"/* {comment(output.name)}: writes {shape} cell(s){means}."
    if export.labels is not None:
        table = f"{export.public}_labels"
        what += f" The number is a place in {table}."
        parts.append(f"extern const char *const {table}[{len(export.labels)}];\n")
    if export.has_scratch:
        what += f"\n   Computes in *scratch ({_kilobytes(export)} KB), one for each thread."
        parts.append(export.work_struct())
    parts.append(f"{export.row(columns.place)};\n{export.batch(columns.place)};\n")
    return f"{what} */\n" + "".join(parts)


def _kilobytes(export: Export) -> int:
    return -(-sum(n * size(kind) for kind, _, n in export.work) // 1024)


# -- the source ------------------------------------------------------------------------------------
_TOP = """\
#include "{name}.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "{name}.c needs IEEE arithmetic: compile it without -ffast-math and -ffinite-math-only"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "{name}.c needs arithmetic without excess precision: compile it with -msse2 -mfpmath=sse"
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif
"""


def source(unit: Unit, exports: list[Export], columns: Columns, title: str) -> str:
    """The text of the C file."""
    parts = [f"/* {comment(title)}. See {unit.name}.h. */", _TOP.format(name=unit.name)]
    parts += unit.structures.values()
    if unit.has_text:
        name = unit.name
        parts.append(f'const char {name}_nan[] = "NaN", {name}_none[] = "None";\n')
    code = [*unit.helpers.values(), *(_function(e, columns.place) for e in exports)]
    used = set(re.findall(r"\bc[0-9]+\b", "".join(code)))
    for (kind, n, cells), name in unit.constants.items():
        if name in used:
            const = "" if kind.startswith("const") else "const "
            parts.append(f"static {const}{declare(kind, name)}[{n}] = {{\n    {cells}\n}};\n")
    for export in exports:
        if export.labels is not None:
            cells = wrapped([string(v) for v in export.labels.values])
            table = f"{export.public}_labels[{len(export.labels)}]"
            parts.append(f"const char *const {table} = {{\n    {cells}\n}};\n")
    parts += [*code, _strerror(unit)]
    return "\n".join(parts)


def _function(export: Export, place: Place) -> str:
    """The function for one row and the one for many."""
    body = list(export.lines)
    opening: list[str] = []
    if export.has_scratch:
        opening.append(f"struct {export.public}_scratch *const w = scratch;")
    elif export.work:
        members = [f"    {declare(kind, name)}[{n}];" for kind, name, n in export.work]
        opening += ["struct {", *members, "} work, *const w = &work;"]
    opening += [f"(void){n};" for n in ("numbers", "texts")]
    body = opening + body
    result = export.result
    if result.width == 1:
        body.append(f"out[0] = {result.cell()};")
    else:
        body.append(f"for (int i = 0; i < {result.width}; i++) out[i] = {result.name}[i];")
    body.append("return 0;")
    row = f"{export.row(place)}\n{{\n" + "".join(f"    {line}\n" for line in body) + "}\n"
    return f"{row}\n{_batch(export, place)}"


def _batch(export: Export, place: Place) -> str:
    numbers = f"numbers + row * {len(place.number)}" if place.number else "numbers"
    texts = f"texts + row * {len(place.text)}" if place.text else "texts"
    scratch = ", scratch" if export.has_scratch else ""
    call = f"{export.public}({numbers}, {texts}, out + row * {export.result.width}{scratch})"
    return (
        f"{export.batch(place)}\n{{\n"
        f"    for (size_t row = 0; row < n_rows; row++) {{\n"
        f"        const int status = {call};\n"
        f"        if (status) {{\n"
        f"            if (refused_row) *refused_row = row;\n"
        f"            return status;\n"
        f"        }}\n    }}\n    return 0;\n}}\n"
    )


def _strerror(unit: Unit) -> str:
    cases = "".join(
        f"    case {code}: return {string(message)};\n"
        for (_, message), code in unit.messages.items()
    )
    return (
        f"const char *{unit.name}_strerror(int status)\n{{\n    switch (status) {{\n"
        f'    case 0: return "no error";\n{cases}'
        f'    default: return "unknown status";\n    }}\n}}\n'
    )


# -- the description -------------------------------------------------------------------------------
def about(unit: Unit, exports: list[Export], columns: Columns) -> dict[str, Any]:
    """Columns and functions as JSON types."""
    program, place = columns.program, columns.place
    return {
        "format": 1,
        "name": unit.name,
        "dtype": place.dtype,
        "named": program.named,
        "form": program.form,
        "columns": [
            {
                "name": c.name,
                "kind": "text" if i in place.text else c.kind,
                "categories": c.categories,
                "strict": c.strict,
                "read": i in columns.read,
                "at": place.text[i] if i in place.text else place.number[i],
            }
            for i, c in enumerate(program.columns)
        ],
        "outputs": [
            {
                "name": e.output.name,
                "function": e.public,
                "shape": e.output.shape,
                "depth": e.output.depth,
                "width": e.result.width,
                "dtype": e.result.dtype,
                "labels": None if e.labels is None else list(e.labels.values),
                "text_dtype": e.text_dtype,
                "labels_dtype": None if e.labels is None else e.labels.dtype,
                "scratch": sum(8 * n for _, _, n in e.work) if e.has_scratch else 0,
            }
            for e in exports
        ],
    }
