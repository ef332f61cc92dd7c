"""A seeded selection of all converters' examples, exported to C, answers as the reference does.

Twice: with the same bits as the reference that uses libm (see `judge`), on rows made to break it; and as
the compiled model does on its own rows, with the same bits where neither libm nor BLAS takes part.
"""

from __future__ import annotations

import re
import shutil
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from millrace.compiler.export_c import _rewritten, load_shared, to_c
from millrace.errors import ExportError, MillraceError
from millrace.ir.ops import Binary, Distances, MatMul, Nearest, Reduce, Unary
from tests.c_export.judge import LIBM, answers
from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, case, outcome, plain_columns, quiet
from tests.conformance.compare import difference

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")

CHOSEN = sorted(sorted(EXAMPLES, key=lambda name: crc32(f"3 {name}".encode()))[:120])
"""By a seeded hash of the name, so that a new example moves few of the others."""
STRICT = "cc -Wall -Wextra -Werror -pedantic"
REFUSED = re.compile(
    r"Cannot export (Call|Terms|Features|ImputeNearest|Concat|Where|Cast|Encode|Select|Unary|Binary) "
    r"\(step \d+ of the program\): .+\. .+\.$"
)
SPECIAL = 4
"""Units in the last place between SciPy's own formulas (ndtr, boxcox ...) and those written in C."""


def test_tables_of_refusals_are_told() -> None:
    assert not REFUSED.match("Cannot export Trees (step 1 of the program): no. Wait.")


@pytest.mark.parametrize("name", CHOSEN)
def test_answers_as_the_reference(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = case(name)
    dtype = "float32" if CHOSEN.index(name) % 3 == 0 else "float64"
    source, refused = outcome(
        lambda: to_c(found.model, name="m", dtype=dtype, methods=found.methods)
    )
    if refused is not None:
        assert isinstance(refused, ExportError)
        assert REFUSED.match(str(refused)), str(refused)
        return
    shared = load_shared(source.build_shared(tmp_path / "m.so", STRICT))
    program = _rewritten(found.model, dtype, found.methods)
    rows = _rows_of_c(_dense(found.rows), dtype)
    problems: list[str] = []
    for kind, batch, _ in make.batches(found, rows):
        if kind == "no rows":
            continue
        batch = _rows_of_c(batch, dtype)
        if not _has_only_text(program, batch):
            continue
        problems += _compare(monkeypatch, found, program, shared, kind, batch)
    assert not problems, "\n".join(problems)


def _compare(
    patch: pytest.MonkeyPatch, found: Any, program: Any, shared: Any, kind: str, batch: Any
) -> list[str]:
    problems: list[str] = []
    for method in found.methods:
        names = [o.name for o in program.outputs if o.name.split("/")[0] == method]
        only = program.only(*names).live()
        with patch.context() as context, quiet():
            wanted, refused = outcome(lambda p=only, c=context: answers(c, p, batch))
        expected = None if wanted is None else [wanted[n] for n in names]
        if expected is not None and "/" not in names[0]:
            expected = expected[0]
        got, error = outcome(lambda m=method: shared.call(m, batch))
        if refused is not None or error is not None:
            if type(refused) is not type(error) or not isinstance(error, MillraceError):
                problems.append(f"{method} on {kind}: expected {refused!r}, got {error!r}")
            continue
        if problem := difference(expected, got, SPECIAL if _special(only) else 0):
            problems.append(f"{method} on {kind}: {problem}")
        if kind == "own rows" and (problem := _unlike_the_model(found, only, method, batch, got)):
            problems.append(f"{method} on {kind}, the compiled model: {problem}")
    return problems


def _unlike_the_model(found: Any, program: Any, method: str, batch: Any, got: Any) -> str | None:
    """The same bits, or what rounding in libm and BLAS may make of one answer."""
    expected = found.by_numba(method, batch)
    if not any(_rounds(step.op) for step in program.steps):
        return difference(expected, got)
    pairs = zip(expected, got, strict=True) if isinstance(expected, list) else [(expected, got)]
    for a, b in pairs:
        a, b = (_dense(x) for x in (a, b))
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"expected {a.dtype}{a.shape}, got {b.dtype}{b.shape}"
        if a.dtype.kind == "f":
            # Units in the last place of the largest cell, of the coarsest floats: terms may cancel.
            largest = np.abs(a[np.isfinite(a)]).max(initial=1.0)
            coarse = "float32" if "float32" in program.binding else a.dtype
            if not np.allclose(a, b, 0, 1e4 * np.finfo(coarse).eps * largest, equal_nan=True):
                at = np.unravel_index(np.nanargmax(np.abs(a - b)), a.shape)
                return f"expected {a[at]!r}, got {b[at]!r} at {at}"
        elif not np.array_equal(a, b):
            return f"expected {a}, got {b}"
    return None


def _rounds(op: Any) -> bool:
    if isinstance(op, (Unary, Binary)):
        return op.ufunc in LIBM or _is_special(op.ufunc)
    return isinstance(op, (MatMul, Distances, Nearest)) or op == Reduce("square_sum")


def _is_special(ufunc: str) -> bool:
    return not hasattr(np, ufunc) or ufunc in ("logaddexp", "power")


def _special(program: Any) -> bool:
    return any(isinstance(s.op, (Unary, Binary)) and _is_special(s.op.ufunc) for s in program.steps)


def _dense(rows: Any) -> Any:
    return rows.toarray() if hasattr(rows, "toarray") else rows


def _rows_of_c(rows: Any, dtype: str) -> Any:
    """Rows in one dtype of numbers, without those whose texts hold a zero byte."""
    if np.asarray(rows).dtype.kind in "biuf" or hasattr(rows, "iloc"):
        rows = make.as_dtype(rows, dtype)
    cells = np.asarray(rows, object).reshape(len(rows), -1)
    clean = [not any(isinstance(c, str) and "\0" in c for c in row) for row in cells]
    return rows if all(clean) else make.take(rows, np.flatnonzero(clean))


def _has_only_text(program: Any, batch: Any) -> bool:
    """Whether the columns of text hold strings alone, as C has them, and the others no text."""
    try:
        columns = plain_columns(program, batch)
    except MillraceError:  # an unseen category is refused before any program sees it
        return True
    for dtype, cells in zip(program.binding, columns, strict=True):
        odd = (str,) if dtype == "object" else (int, float, np.number)
        if cells.dtype == object and not all(
            c is None or c != c or isinstance(c, odd) for c in cells
        ):
            return False
    return True
