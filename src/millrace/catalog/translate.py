"""Turning a fitted object into a program: recursion, fallback and the record of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    Bound,
    Context,
    Decline,
    Outputs,
    Result,
    SeriesValue,
    SparseValue,
    column_reader,
    inverse_of,
    lookup,
    public_name,
    takes_series,
)
from millrace.errors import DenseStepError, UnfittedModelError, UnsupportedModelError
from millrace.ir.build import Builder, Value
from millrace.ir.check import check
from millrace.ir.ops import Call, Dense
from millrace.ir.program import Column, Form, Output, Program, Shape, have_names
from millrace.ir.types import widths

METHODS: tuple[str, ...] = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "score_samples",
    "apply",
)


NARROW = 1024
"""A sparse block of so few columns may be made dense where a step needs it, some rows at a time."""


@dataclass(frozen=True)
class StepRecord:
    """One line of `describe()`."""

    path: str
    source: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Translation:
    """A program and what it needs to run.

    Attributes
    ----------
    program : Program
    foreign : dict of str to object
        The original Python objects that `Call` steps name by key.
    records : tuple of StepRecord
        What became of every object inside the source, in the order of conversion.
    notes : tuple of (path, text)
    bounds : tuple of Bound
        Where the answers are not the same bits.
    """

    program: Program
    foreign: dict[str, Any]
    records: tuple[StepRecord, ...]
    notes: tuple[tuple[str, str], ...] = ()
    bounds: tuple[Bound, ...] = ()

    @property
    def steps(self) -> tuple[tuple[str, str, str, str], ...]:
        """Path, class, status and reason of every record, as a model keeps them."""
        return tuple((r.path, r.source, r.status, r.reason) for r in self.records)


@dataclass(frozen=True)
class Sample:
    """A few real rows, and how to run a program on them: what foreign steps are asked first.

    Attributes
    ----------
    columns : sequence of ndarray
        One per column of the input table.
    evaluate : callable
        ``(program, columns, foreign) -> outputs by name``.
    """

    columns: Sequence[Any]
    evaluate: Callable[[Program, Sequence[Any], dict[str, Any]], dict[str, Any]]


@dataclass
class Translator:
    """The state of one translation."""

    foreign: dict[str, Any] = field(default_factory=dict)
    records: list[StepRecord] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    sample: Sample | None = None

    def convert(self, source: Any, x: Value, path: str) -> Outputs:
        """The methods of an object: native where a converter takes it, else by calling it."""
        name = public_name(type(source))
        require_fitted(source, path)
        converter = lookup(type(source))
        position = len(self.records)
        if converter is None:
            return self._fall_back(source, x, path, name, "no converter for this class")
        if isinstance(x, SparseValue) and not takes_sparse(source):
            return self._fall_back(source, x, path, name, "it takes no sparse rows")
        mark = (dict(self.foreign), list(self.notes), list(self.bounds))
        self.records.append(StepRecord(path, name, "native"))
        try:
            with np.errstate(all="ignore"):  # the source's own methods are where a user is warned
                return converter(source, x, Context(path, self))
        except (Decline, DenseStepError) as declined:
            reason = str(declined)
            self.foreign, self.notes, self.bounds = mark
            del self.records[position:]
            if isinstance(declined, DenseStepError):
                if x.is_sparse and x.width <= NARROW:
                    return self.convert(source, _made_dense(x), path)
                reason = f"its input is sparse: {reason}"
            return self._fall_back(source, x, path, name, reason)

    def invert(self, source: Any, x: Value, path: str) -> Value | Result:
        """What ``inverse_transform`` of an object makes of a block."""
        inverse, name = inverse_of(type(source)), public_name(type(source))
        reason = "no inverse for this class"
        try:
            if inverse is not None:
                answer = inverse(source, x, Context(path, self))
                self.records.append(StepRecord(path, name, "native"))
                return answer
        except (Decline, DenseStepError) as declined:
            reason = str(declined)
        return self._fall_back(source, x, path, name, reason, ("inverse_transform",))[
            "inverse_transform"
        ]

    def _fall_back(
        self,
        source: Any,
        x: Value,
        path: str,
        name: str,
        reason: str,
        candidates: Sequence[str] = METHODS,
    ) -> Outputs:
        methods = [m for m in candidates if callable(getattr(source, m, None))]
        if not methods:
            raise UnsupportedModelError.unknown_class(path, name)
        self.records.append(StepRecord(path, name, "falls back", reason))
        key = path or "model"
        self.foreign[key] = source
        series = isinstance(x, SeriesValue)
        inverse = "inverse_transform" in methods
        frame = None if series or inverse else _frame_names(source, x)
        sparse = "csr_matrix" if x.is_sparse else None
        if isinstance(x, SparseValue):
            sparse = x.kind
        rows = [_contained(r, frame, sparse, series) for r in self._probe_rows(source, x)]
        if sparse is not None:
            rows = [r for r in rows if hasattr(r, "tocsr")]
        outputs: dict[str, Value | Result] = {}
        problem = ""
        for method in methods:
            result = _probe(source, rows, method)
            if isinstance(result, Exception):
                problem = problem or f"{type(result).__name__}: {result}".rstrip(". \n")
            else:
                width, dtype, shape = result
                csr = shape.startswith("csr")
                call = Call(key, method, path, reason, width, dtype, frame, sparse, series, csr)
                outputs[method] = Result((x.then(call),), shape)
        if not outputs:
            raise UnsupportedModelError.declined(
                path,
                name,
                f"{reason}, and its own methods fail on "
                f"{'sparse' if sparse else 'made-up'} rows ({problem})",
                "Pass a few rows of the kind that it was fitted on: compile(fitted, sample=X).",
            )
        return outputs

    def _probe_rows(self, source: Any, x: Value) -> list[npt.NDArray[Any]]:
        """Blocks to ask a foreign step with: real rows where there are some, then made-up ones."""
        width = x.width
        made_up = [
            np.linspace(0.1, 0.9, 3)[:, None] * np.ones((1, width)),
            np.array([["a"] * width] * 3, dtype=object),
        ]
        if self.sample is None:
            return made_up
        output = Output("x", x.at)
        program = replace(x.builder.program(), outputs=(output,)).live()
        return [self.sample.evaluate(program, self.sample.columns, self.foreign)["x"], *made_up]


def _made_dense(x: Value) -> Value:
    """The cells of a sparse block as a dense one; the source still takes it for sparse."""
    dense = x.then(Dense())
    kind = x.kind if isinstance(x, SparseValue) else "csr_matrix"
    return SparseValue(dense.builder, dense.at, (), kind)


def _frame_names(source: Any, x: Value) -> tuple[str, ...] | None:
    names = getattr(source, "feature_names_in_", None)
    if names is not None and len(names) == x.width:
        return tuple(str(n) for n in names)
    return None


def _contained(block: Any, frame: tuple[str, ...] | None, sparse: str | None, series: bool) -> Any:
    """A block in the container that the foreign step was fitted on."""
    if series:
        return block[:, 0]
    if hasattr(block, "tocsr"):
        return block
    if sparse is not None and block.dtype != object:
        import scipy.sparse as sp

        return sp.csr_array(block) if sparse == "csr_array" else sp.csr_matrix(block)
    if frame is None:
        return block
    import pandas as pd

    return pd.DataFrame(block, columns=list(frame)).infer_objects()


def _probe(source: Any, candidates: list[Any], method: str) -> tuple[int, str, Shape] | Exception:
    """Width, dtype and shape of a foreign method's answer, learned by calling it on a few rows.

    Where it answers none of them: its error on the first.
    """
    refused: Exception | None = None
    for rows in candidates:
        try:
            answer = getattr(source, method)(rows)
        except Exception as error:
            refused = refused or error
            continue
        if hasattr(answer, "toarray"):
            kind = "csr_array" if type(answer).__name__.endswith("array") else "csr_matrix"
            return answer.shape[1], str(answer.dtype), kind
        block = np.asarray(answer)
        dtype = str(block.dtype) if block.dtype.kind in "biuf" else "object"
        if block.ndim in (1, 2):
            width = 1 if block.ndim == 1 else block.shape[1]
            return width, dtype, "vector" if block.ndim == 1 else "matrix"
        refused = refused or ValueError(f"{method} answers with {block.ndim} dimensions")
    return refused or ValueError(f"there are no rows to call {method} with")


def require_fitted(source: Any, path: str) -> None:
    """Raise `UnfittedModelError` for a scikit-learn object that its own check calls unfitted."""
    if not hasattr(source, "fit") or isinstance(source, type):
        return
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(source)
    except NotFittedError as error:
        raise UnfittedModelError.at(path, type(source).__name__) from error
    except TypeError:  # not a scikit-learn estimator: its converter judges
        return


def takes_sparse(source: Any) -> bool:
    """Whether an object takes sparse rows by its own word; true where it says nothing.

    A pipeline says no where any of its steps does, though a later step may get dense rows from the
    step before it: its steps, like the parts of a union, are judged one by one when they are converted.
    """
    if _says_sparse(source) or any(hasattr(source, name) for name in _STEPS):
        return True
    parts = _parts(source)
    return not all(_says_sparse(p) for p in parts) and all(takes_sparse(p) for p in parts)


_STEPS = ("steps", "transformer_list", "transformers_")


def _says_sparse(source: Any) -> bool:
    try:
        return bool(source.__sklearn_tags__().input_tags.sparse)
    except AttributeError:
        return True


def _parts(source: Any) -> list[Any]:
    """The estimators inside that a meta-estimator asks for its tags."""
    for attribute in ("best_estimator_", "estimator_", "estimators_", "estimator"):
        found = getattr(source, attribute, None)
        parts = found if isinstance(found, list) else [found]
        if parts and all(hasattr(p, "fit") for p in parts):
            return parts
    return []


class SeriesColumns(tuple[Column, ...]):
    """The only column of an input that is one cell a row: texts, labels, collections."""


def input_columns(source: Any) -> tuple[Column, ...]:
    """The table that the object was fitted on; x0, x1 ... where it was fitted without names."""
    require_fitted(source, "")
    if takes_series(type(source)):
        reader = column_reader(type(source))
        return SeriesColumns(reader(source) if reader else [Column("x0")])
    if reader := column_reader(type(source)):
        columns = reader(source)
        return columns if isinstance(columns, SeriesColumns) else tuple(columns)
    columns = table_columns(source, getattr(source, "n_features_in_", None))
    if columns is None:
        raise UnsupportedModelError.declined(
            "",
            public_name(type(source)),
            "it does not say how many columns it was fitted on",
            "Expected a fitted object with n_features_in_.",
        )
    return columns


def table_columns(source: Any, width: int | None) -> tuple[Column, ...] | None:
    """Columns of the names that an object was fitted with, else `width` of them: x0, x1 ...

    None where neither is known.
    """
    names = getattr(source, "feature_names_in_", None)
    if names is None and width is not None:
        names = [f"x{i}" for i in range(int(width))]
    return None if names is None else tuple(Column(str(n)) for n in names)


def _empty(source: Any, sparse: Literal["csr_matrix", "csr_array"] | None) -> Builder:
    """A builder for the input of an object."""
    columns = input_columns(source)
    named = have_names(columns) and sparse is None
    form: Form = sparse or ("series" if isinstance(columns, SeriesColumns) else "table")
    return Builder(columns, named, form)


def reading(source: Any) -> Program:
    """A program that reads the whole input of an object and gives it back as ``"x"``."""
    builder = _empty(source, None)
    builder.output("x", builder.table)
    return builder.program()


def translate(
    source: Any,
    sample: Sample | None = None,
    sparse: Literal["csr_matrix", "csr_array"] | None = None,
) -> Translation:
    """The program of a fitted object.

    Parameters
    ----------
    source : object
    sample : Sample, optional
        Real rows, for steps that are called because they are not native.
    sparse : {"csr_matrix", "csr_array"}, optional
        Write the program for rows in a sparse matrix: a source may compute them another way.

    Raises
    ------
    UnfittedModelError, UnsupportedModelError
    """
    builder = _empty(source, sparse)
    table = builder.table
    if builder.form == "series":
        table = SeriesValue(builder, -1, table.columns)
    elif sparse:
        table = SparseValue(builder, -1, table.columns, sparse)
    translator = Translator(sample=sample)
    outputs = translator.convert(source, table, "")
    return _finished(builder, outputs, translator)


def translate_inverse(
    source: Any, forward: Program, sparse: Literal["csr_matrix", "csr_array"] | None = None
) -> Translation:
    """The program of ``inverse_transform``: transformed rows in, rows as before out.

    Parameters
    ----------
    source : object
    forward : Program
        The program of its other methods.
    sparse : {"csr_matrix", "csr_array"}, optional
        Write the program for a sparse matrix.

    Raises
    ------
    UnsupportedModelError
        A step has an inverse that is neither native nor can be called.
    """
    transform = next((o for o in forward.outputs if o.name == "transform"), None)
    if transform is None:
        name = public_name(type(source))
        raise UnsupportedModelError.declined(
            "", name, "it has no transform", "There is no way back."
        )
    columns = table_columns(None, widths(forward)[transform.step]) or ()
    form: Form = sparse or ("series" if transform.shape == "vector" else "table")
    builder = Builder(columns, form=form)
    table = builder.table
    if sparse:
        table = SparseValue(builder, -1, table.columns, sparse)
    translator = Translator()
    outputs = {"inverse_transform": translator.invert(source, table, "")}
    return _finished(builder, outputs, translator)


def _finished(builder: Builder, outputs: Outputs, translator: Translator) -> Translation:
    for method, result in outputs.items():
        if isinstance(result, Value):
            builder.output(method, result)
        elif result.is_list:
            for position, value in enumerate(result.values):
                builder.output(f"{method}/{position}", value, result.shape)
        else:
            builder.output(method, result.values[0], result.shape, result.depth)
    return Translation(
        check(builder.program()),
        translator.foreign,
        tuple(translator.records),
        tuple(translator.notes),
        tuple(translator.bounds),
    )
