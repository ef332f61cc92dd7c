"""A program: the columns it reads, its steps in order, and its named outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from millrace.ir.ops import Call, Op, Select

Kind = Literal["number", "text", "any", "object"]
Shape = Literal["matrix", "vector", "cube", "csr_matrix", "csr_array"]
Form = Literal["table", "series", "csr_matrix", "csr_array"]


@dataclass(frozen=True)
class Column:
    """One column of the input table.

    Attributes
    ----------
    name : str
        The name in the fitted object, or ``"x0"``, ``"x1"`` ... where it was fitted without names.
    kind : {"number", "text", "any", "object"}
        What the program needs there: ``any`` where the first step takes both, ``object`` where it takes
        Python objects as they are (mappings, sets).
    categories : tuple, optional
        Where the source library numbers the categories of a pandas categorical column itself
        (LightGBM, XGBoost): the values in the order of their codes. The input adapter turns
        such a column into float64 codes, NaN for missing and unseen values.
    strict : bool
        An unseen category is an error (`UnknownCategoryError`), not a missing value.
    dtype : str, optional
        The NumPy dtype of the column in a program that is bound to one kind of input, ``object``
        for text; see `Program.bound`. Not part of the text form.
    """

    name: str
    kind: Kind = "any"
    categories: tuple[str | int | float | bool, ...] | None = None
    strict: bool = False
    dtype: str | None = None


@dataclass(frozen=True)
class Step:
    """One primitive applied to earlier steps, which are given by their positions."""

    op: Op
    inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Output:
    """A named result.

    Attributes
    ----------
    name : str
        The method that returns it: ``"predict"``, ``"predict_proba"``, ``"transform"`` ... A method
        that returns a list has outputs ``"predict_proba/0"``, ``"predict_proba/1"`` ... A keyword
        of a method is written ``"predict(raw_score)"``.
    step : int
    shape : {"matrix", "vector", "cube", "csr_matrix", "csr_array"}
        ``vector``: width 1, returned one-dimensional; ``cube``: returned three-dimensional; the
        ``csr`` shapes are returned sparse, as the source object does.
    depth : int
        Length of the last axis of a cube, which divides the width of the block; 1 otherwise.
    """

    name: str
    step: int
    shape: Shape = "matrix"
    depth: int = 1

    @property
    def method(self) -> str:
        """The method, or the method with an option: the name without the position in a list."""
        return self.name.partition("/")[0]


def have_names(columns: Sequence[Column]) -> bool:
    """Whether columns have names of their own, not those that are made up: x0, x1 ..."""
    return any(c.name != f"x{i}" for i, c in enumerate(columns))


def unbound(columns: Sequence[Column], form: Form) -> tuple[str, ...]:
    """Float64 and text for every column, sparse where the table is."""
    prefix = "csr " if form.startswith("csr") else ""
    return tuple(prefix + "float64" if c.kind in ("number", "any") else "object" for c in columns)


@dataclass(frozen=True)
class Program:
    """An immutable graph of primitives.

    Attributes
    ----------
    columns : tuple of Column
        The table that the source object was fitted on, all columns in order.
    steps : tuple of Step
        In topological order; a step refers to earlier ones by position.
    outputs : tuple of Output
    named : bool
        Whether `columns` carry the names of a data frame (matched by name) or were made up.
    form : {"table", "series", "csr_matrix", "csr_array"}
        The input: a dense table, one cell a row (texts, labels), or a sparse matrix.
    """

    columns: tuple[Column, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    named: bool = field(default=False)
    form: Form = "table"

    @cached_property
    def used_columns(self) -> tuple[int, ...]:
        """Positions of the columns that an output depends on, ascending; the others are not read."""
        from millrace.ir.liveness import needed_columns
        from millrace.ir.types import widths

        used: set[int] = set()
        for step, wanted in zip(self.steps, needed_columns(self, widths(self)), strict=True):
            if isinstance(step.op, Select):
                used.update(step.op.columns[c] for c in wanted)
        return tuple(sorted(used))

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that have an output, without keywords and list positions."""
        names = (o.method.partition("(")[0] for o in self.outputs)
        return tuple(dict.fromkeys(names))

    @cached_property
    def cubes(self) -> dict[str, int]:
        """Names of the outputs that are cubes, and the length of their last axis."""
        return {o.name: o.depth for o in self.outputs if o.shape == "cube"}

    @property
    def foreign(self) -> tuple[Call, ...]:
        """Steps that call the original Python object."""
        return tuple(s.op for s in self.steps if isinstance(s.op, Call))

    def bound(self, binding: tuple[str, ...]) -> Program:
        """The same program for columns of these dtypes."""
        columns = (replace(c, dtype=d) for c, d in zip(self.columns, binding, strict=True))
        return replace(self, columns=tuple(columns))

    @property
    def binding(self) -> tuple[str, ...]:
        """The dtypes of the columns; float64 where the program is not bound."""
        return tuple(
            c.dtype or d
            for c, d in zip(self.columns, unbound(self.columns, self.form), strict=True)
        )

    @property
    def unbound(self) -> tuple[str, ...]:
        """A binding for what does not depend on dtypes: float64 and text, in the program's form."""
        return unbound(self.columns, self.form)

    def only(self, *names: str) -> Program:
        """The same program with only the outputs of these names; steps are not pruned."""
        return replace(self, outputs=tuple(o for o in self.outputs if o.name in names))

    def live(self) -> Program:
        """The same program without the steps that no output needs."""
        live: set[int] = {o.step for o in self.outputs}
        for position in range(len(self.steps) - 1, -1, -1):
            if position in live:
                live.update(self.steps[position].inputs)
        if len(live) == len(self.steps):
            return self
        kept = sorted(live)
        renumber = {old: new for new, old in enumerate(kept)}
        steps = tuple(
            Step(self.steps[old].op, tuple(renumber[i] for i in self.steps[old].inputs))
            for old in kept
        )
        outputs = tuple(replace(o, step=renumber[o.step]) for o in self.outputs)
        return replace(self, steps=steps, outputs=outputs)

    def __str__(self) -> str:
        from millrace.ir.text import unparse

        return unparse(self)[0]
