"""The examples of all converters, fitted once a session, and the ways to run them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

import millrace as mr
from millrace.backends import reference
from millrace.catalog import Example, Translation, examples, translate
from millrace.catalog.registry import ask
from millrace.catalog.translate import Sample, reading
from millrace.ir import Output, Program, Select, Step
from millrace.runtime.inputs import adapt, sparse_kind

EXAMPLES: dict[str, Example] = {
    f"{module}: {example.name}": example for module, example in examples()
}


def a_share(names: Iterable[str], one_of: int) -> list[str]:
    """One name of so many of each module, and the first: where every one would take too long."""
    chosen: list[str] = []
    seen: Counter[str] = Counter()
    for name in names:
        module = name.partition(":")[0]
        if seen[module] % one_of == 0:
            chosen.append(name)
        seen[module] += 1
    return chosen


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that source libraries give for rows that are meant to be awkward."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True, eq=False)
class Case:
    """A fitted example."""

    name: str
    example: Example
    fitted: Any
    rows: Any

    @cached_property
    def translation(self) -> Translation:
        """As the converters write it; an object that is called needs a few rows to learn from."""
        sparse = sparse_kind(self.rows) if sp.issparse(self.rows) else None
        with quiet():
            return translate(self.fitted, None if self.example.native else self._sample(), sparse)

    def _sample(self) -> Sample | None:
        if sp.issparse(self.rows):
            return None
        return Sample(plain_columns(reading(self.fitted), self.rows[:8]), reference.run)

    @property
    def program(self) -> Program:
        return self.translation.program

    @cached_property
    def model(self) -> mr.CompiledModel:
        with quiet():
            sample = None if self.example.native else self.rows
            return mr.compile(self.fitted, sample=sample, verify=False)

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Methods, and methods with an option: ``predict(raw_score)``."""
        return tuple(dict.fromkeys(o.name.split("/")[0] for o in self.program.outputs))

    @cached_property
    def read(self) -> set[int]:
        """Positions of the columns that every method reads."""
        parts = [
            self.program.only(
                *(o.name for o in self.program.outputs if o.name.split("/")[0] == method)
            )
            for method in self.methods
        ]
        return set.intersection(*(set(p.live().used_columns) for p in parts))

    def by_source(self, method: str, rows: Any) -> Any:
        """The answer of the source object."""
        with quiet():
            return ask(self.fitted, method, rows)

    def by_reference(self, method: str, rows: Any) -> Any:
        """The answer of the reference backend to the program as the converter wrote it."""
        with quiet():
            return run_reference(self.program, method, rows, self.translation)

    def by_numba(self, method: str, rows: Any) -> Any:
        """The answer of the compiled model."""
        with quiet():
            return self.model.call(method, rows)


def run_reference(program: Program, method: str, rows: Any, translation: Translation) -> Any:
    """One method of a program on the reference backend, with a list where the source has one."""
    wanted = [o.name for o in program.outputs if o.name.split("/")[0] == method]
    program = program.only(*wanted).live()
    answers = reference.run(program, plain_columns(program, rows), translation.foreign)
    return [answers[n] for n in wanted] if "/" in wanted[0] else answers[wanted[0]]


def plain_columns(program: Program, rows: Any) -> list[Any]:
    """The columns of a table as the reference backend takes them: NumPy, with text as objects."""
    if program.form != "table":
        read = adapt(rows, program).columns
        return (
            read
            if sp.issparse(read)
            else [c if isinstance(c, np.ndarray) else _objects(c) for c in read]
        )
    all_of_them = Select(tuple(range(len(program.columns))))
    reader = replace(program, steps=(Step(all_of_them),), outputs=(Output("table", 0),))
    columns = adapt(rows, reader, ignore_extra=True).columns
    return [c if isinstance(c, np.ndarray) else _objects(c) for c in columns]


def _objects(text: Any) -> Any:
    """An Arrow column of text as objects; a null is NaN."""
    return np.array([np.nan if v is None else v for v in text.to_pylist()] + [None], object)[:-1]


@cache
def case(name: str) -> Case:
    """A fitted example by its name."""
    with quiet():
        fitted, rows = EXAMPLES[name].make()
    return Case(name, EXAMPLES[name], fitted, rows)


def outcome(call: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What a call returns, or what it raises."""
    try:
        return call(), None
    except Exception as error:
        return None, error
