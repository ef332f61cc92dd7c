"""Every example on every backend and dtype answers awkward rows as its source object does."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from scipy.sparse import issparse

import millrace as mr
from millrace.catalog.registry import inverse_of
from millrace.errors import MillraceError
from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, Case, case, outcome, quiet
from tests.conformance.compare import difference

Answer = tuple[str, Any, str, Any, Exception | None]
"""Kind of rows, rows, method, and the source's answer or error."""


@lru_cache(maxsize=1)
def source_answers(name: str, dtype: str) -> list[Answer]:
    """The source's answers for all batches; the backends are tried one after another on them."""
    found = case(name)
    rows = found.rows if dtype == "own" else _as_dtype(found.rows, dtype)
    answers: list[Answer] = []
    for kind, batch, by_column in make.batches(found, rows):
        answers += _ask(found, kind, batch)
        if by_column and any(error for *_, error in answers[-len(found.methods) :]):
            answers += [
                a for part in _single_columns(found, kind, rows) for a in _ask(found, *part)
            ]
    return answers


def _ask(found: Case, kind: str, rows: Any) -> list[Answer]:
    return [
        (kind, rows, method, *outcome(lambda m=method: found.by_source(m, rows)))
        for method in found.methods
    ]


def _single_columns(found: Case, kind: str, rows: Any) -> Iterator[tuple[str, Any]]:
    """The same value in one column only: another column may be what refuses it."""
    in_text = kind.endswith(" in text")
    positions = make.textual(rows) if in_text else make.numeric(rows)
    value = make.WORDS[kind.removesuffix(" in text")] if in_text else make.NUMBERS[kind]
    for position in [p for p in positions if p in found.read][:6]:
        yield f"{kind}, column {position}", make.with_value(make.first(rows, 4), [position], value)


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("dtype", ["own", "float64", "float32"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_answers_as_the_source(name: str, dtype: str, backend: str) -> None:
    found = case(name)
    if dtype != "own" and _is(found.rows, dtype):
        pytest.skip("the example has no numbers to convert")
    run = getattr(found, f"by_{backend}")
    answers = source_answers(name, dtype)
    own = {method: expected for kind, _, method, expected, _ in answers if kind == "own rows"}
    problems = []
    for kind, rows, method, expected, refused in answers:
        got, error = outcome(lambda m=method, r=rows: run(m, r))
        problem = None
        if refused is not None:
            problem = _not_refused(found, kind, got, error, refused)
        elif error is not None and not _may_refuse(found, kind, error):
            problem = f"raised {type(error).__name__}: {str(error)[:300]}"
        elif error is None:
            if kind == "no rows" and own[method] is not None:
                # XGBoost and LightGBM forget how wide the answer would be.
                expected = _without_rows(own[method])
            problem = difference(expected, got, found.example.ulp, found.example.absolute)
        if problem:
            problems.append(f"{method} on {kind}: {problem}")
    assert not problems, "\n".join(problems)


def _as_dtype(rows: Any, dtype: str) -> Any:
    return rows.astype(dtype) if issparse(rows) else make.as_dtype(rows, dtype)


def _is(rows: Any, dtype: str) -> bool:
    """Whether all numbers are of a dtype already, or there are none."""
    if issparse(rows):
        return rows.dtype == dtype
    return all(make.column(rows, c).dtype == dtype for c in make.numeric(rows))


def _without_rows(answer: Any) -> Any:
    return [a[:0] for a in answer] if isinstance(answer, list) else answer[:0]


def _may_refuse(found: Case, kind: str, error: Exception) -> bool:
    """XGBoost refuses an unseen category, or takes it for the next one that it knows in sort order.

    No one can want the second: a clear error in its place is an answer too.
    """
    return "xgboost" in found.name and "in text" in kind and isinstance(error, MillraceError)


def _not_refused(
    found: Case, kind: str, got: Any, error: Exception | None, refused: Exception
) -> str | None:
    if kind == "no rows":  # most sources refuse a batch without rows; ours may answer it
        return None
    if error is None:
        return f"the source raises {type(refused).__name__} ({str(refused)[:120]}), answered {got!s:.60}"
    if isinstance(error, MillraceError) or found.program.foreign:
        return None
    return f"raised {type(error).__name__} ({str(error)[:120]}), which is no MillraceError"


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_native_as_declared(name: str) -> None:
    found = case(name)
    calls = {call.path: call.reason for call in found.program.foreign}
    assert bool(calls) != found.example.native, calls


SAME_AGAIN = [name for name in EXAMPLES if EXAMPLES[name].native]


@pytest.mark.parametrize("name", SAME_AGAIN)
def test_inverse_answers_as_the_source(name: str) -> None:
    found = case(name)
    if inverse_of(type(found.fitted)) is None:
        pytest.skip("no inverse")
    rows, refused = outcome(lambda: found.by_source("transform", found.rows))
    if refused is not None:
        pytest.skip("its own rows cannot be transformed")
    for few in (rows, rows[:1]):
        with quiet():
            expected, refused = outcome(lambda f=few: found.fitted.inverse_transform(f))
            got, error = outcome(lambda f=few: found.model.inverse_transform(f))
        assert (refused is None) == (error is None), (refused, error)
        if refused is None:
            bound = max(found.example.ulp, 4), max(found.example.absolute, 1e-12)
            assert not (difference(expected, got, *bound)), difference(expected, got, *bound)


@pytest.mark.parametrize("name", SAME_AGAIN)
def test_a_file_and_a_pickle_answer_the_same(name: str, tmp_path: Path) -> None:
    found = case(name)
    with quiet():
        found.model.save(tmp_path / "model.mill")
        copies = {
            "file": mr.load(tmp_path / "model.mill"),
            "pickle": pickle.loads(pickle.dumps(found.model)),
        }
    rows = make.first(found.rows, 7)
    for method in found.methods:
        expected, refused = outcome(lambda m=method: found.by_numba(m, rows))
        for kind, copy in copies.items():
            with quiet():
                got, error = outcome(lambda m=method, c=copy: c.call(m, rows))
            assert (refused is None) == (error is None), (kind, refused, error)
            if refused is None:
                assert not difference(expected, got), f"{method} of the {kind}"
