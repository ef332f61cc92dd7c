"""Let the trees read the input columns: scaling, imputation and one-hot columns move into the splits.

Before::

    %0 = Select {"columns": [0]}
    %1 = Constant {"row": {"float64[1]": [38.6]}}
    %2 = Binary %0 %1 {"ufunc": "subtract"}
    %3 = Cast %2 {"dtype": "float32"}
    %4 = Trees %3 ... "threshold": [-1.5]

After::

    %0 = Select {"columns": [0]}
    %1 = Trees %0 ... "threshold": [37.09999...]

Exact, not approximate: each step on the way is monotone in floating point (IEEE addition, subtraction,
multiplication and division by a positive constant, rounding, minimum and maximum are), so for every
threshold t there is one largest input x whose image is at most t, and it is found by bisection over
the floats themselves, through the very same NumPy functions. Where NaN becomes a number on the way
(imputation), the split gets the side on which that number falls as its default. A one-hot column
asks for one category; the split asks for it directly. Limits of a `Guard` are pulled back likewise.

What is not of this form stays a computed column.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from millrace.ir.arrays import Array, offsets
from millrace.ir.build import Builder, Value
from millrace.ir.liveness import features_of
from millrace.ir.ops import Forest, Guard, Leaves, Select, Trees
from millrace.ir.program import Program, Step
from millrace.ir.types import Block, infer
from millrace.rewrites.monotone import Path, largest_at_most, smallest_at_least, trace

Ints = npt.NDArray[np.integer]

MOST_THRESHOLDS = 2_000_000
"""Beyond this, bisecting every threshold would take longer than it saves."""


def absorb(program: Program) -> Program:
    """The program with forests that read table columns wherever that is exact."""
    types = infer(program, program.binding)
    builder = Builder.like(program)
    new: list[Value] = []
    changed = False
    moved: dict[tuple[int, int], tuple[Forest, Value]] = {}
    for step in program.steps:
        if isinstance(step.op, (Trees, Leaves)):
            key = (id(step.op.forest), step.inputs[0])
            if key not in moved:
                result = _absorbed(program, step, types, builder, new)
                if result is not None:
                    moved[key] = result
            if key in moved:
                forest, rows = moved[key]
                new.append(builder.append(type(step.op)(forest), rows))
                changed = True
                continue
        new.append(builder.append(step.op, *(new[i] for i in step.inputs)))
    if not changed:
        return program
    for output in program.outputs:
        builder.output(output.name, new[output.step], output.shape, output.depth)
    return builder.program().live()


@dataclass
class _Columns:
    """The new input of a forest under construction, and where each source column went."""

    plain: list[int] = field(default_factory=list)
    encoded: list[int] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)

    def place(self, kind: list[int], key: int) -> None:
        if key not in kind:
            kind.append(key)

    def index(self, kind: list[int], key: int) -> int:
        before = {
            id(self.plain): 0,
            id(self.encoded): len(self.plain),
            id(self.computed): len(self.plain) + len(self.encoded),
        }
        return before[id(kind)] + kind.index(key)


def _absorbed(
    program: Program, step: Step, types: tuple[Block, ...], builder: Builder, new: list[Value]
) -> tuple[Forest, Value] | None:
    """The forest over table columns, and its new input; None where nothing can be moved."""
    forest = step.op.forest  # pyright: ignore[reportAttributeAccessIssue]
    here = program.steps[step.inputs[0]].op
    if isinstance(here, Select) and forest.operator == "<=":
        return None
    if forest.linear is not None or len(forest.feature) > MOST_THRESHOLDS:
        return None
    edit = _Edit(forest)
    columns = _Columns()
    paths: dict[int, Path] = {}
    for feature in sorted(features_of(forest)):
        path = trace(program, step.inputs[0], feature, types)
        if path is not None and edit.pull(feature, path):
            paths[feature] = path
            columns.place(columns.encoded if path.encode is not None else columns.plain, path.root)
        else:
            edit.make_less_equal(feature)
            columns.place(columns.computed, feature)
    if not paths:
        return None
    limits = _limits(paths)
    if limits is None:
        return None
    feature_of = {}
    for feature in sorted(features_of(forest)):
        if feature in paths:
            path = paths[feature]
            feature_of[feature] = columns.index(
                columns.encoded if path.encode is not None else columns.plain, path.root
            )
        else:
            feature_of[feature] = columns.index(columns.computed, feature)
    rows = _input(program, builder, new[step.inputs[0]], columns, limits, paths)
    return edit.finished(feature_of), rows


def _input(
    program: Program,
    builder: Builder,
    old: Value,
    columns: _Columns,
    limits: dict[int, tuple[str, bool, float, float]],
    paths: dict[int, Path],
) -> Value:
    """The forest's new block: guarded table columns, codes, and what had to stay computed."""
    parts: list[Value] = []
    for column in columns.plain:
        value = builder.append(Select((column,)))
        if column in limits:
            owner, allow_nan, low, high = limits[column]
            value = builder.append(
                Guard(owner, allow_nan, Array([low], "float64"), Array([high], "float64")), value
            )
        parts.append(value)
    if parts:
        parts = (
            [_joined(builder, columns.plain, limits)] if _uniform(columns.plain, limits) else parts
        )
    encodes = {p.root: p.encode for p in paths.values() if p.encode is not None}
    for position in columns.encoded:
        encode = encodes[position]
        assert encode is not None
        below = program.steps[position].inputs[0]
        source = program.steps[below].op
        assert isinstance(source, Select)
        parts.append(builder.append(encode, builder.append(source)))
    if columns.computed:
        parts.append(old.take(columns.computed))
    return builder.concat([Value(builder, p.at) for p in parts])


def _uniform(columns: list[int], limits: dict[int, tuple[str, bool, float, float]]) -> bool:
    """Whether one guard can watch all columns."""
    kinds = {limits[c][:2] if c in limits else None for c in columns}
    return len(kinds) == 1


def _joined(
    builder: Builder, columns: list[int], limits: dict[int, tuple[str, bool, float, float]]
) -> Value:
    value = builder.append(Select(tuple(columns)))
    if columns[0] not in limits:
        return value
    owner, allow_nan, _, _ = limits[columns[0]]
    low = Array([limits[c][2] for c in columns], "float64")
    high = Array([limits[c][3] for c in columns], "float64")
    return builder.append(Guard(owner, allow_nan, low, high), value)


def _limits(paths: dict[int, Path]) -> dict[int, tuple[str, bool, float, float]] | None:
    """For every guarded table column: owner, whether NaN may pass, lowest and highest value.

    None where some guard refuses every number, so that it cannot be written as an interval.
    """
    found: dict[int, tuple[str, bool, float, float]] = {}
    for path in paths.values():
        if path.encode is not None:
            continue
        for position, guard, column in path.guards:
            before = replace(path, root=-1, functions=path.functions[:position], guards=())
            most = float(np.finfo(before.dtype).max)
            low = (
                float(guard.low.values[column if len(guard.low) > 1 else 0]) if guard.low else -most
            )
            high = (
                float(guard.high.values[column if len(guard.high) > 1 else 0])
                if guard.high
                else most
            )
            lowest, highest = _interval(before, low, high)
            if np.isnan(lowest) or np.isnan(highest):
                return None
            of_nan = float(before(np.array([np.nan]))[0])
            nan_passes = guard.allow_nan if np.isnan(of_nan) else low <= of_nan <= high
            owner, allowed, old_low, old_high = found.get(
                path.root, (guard.owner, True, -np.inf, np.inf)
            )
            found[path.root] = (
                owner,
                allowed and nan_passes,
                max(old_low, lowest),
                min(old_high, highest),
            )
    return found


@lru_cache(maxsize=4096)
def _interval(path: Path, low: float, high: float) -> tuple[float, float]:
    """The inputs that a path maps between two limits; the same few paths come again and again."""
    lowest = smallest_at_least(path, np.array([low]))[0]
    return float(lowest), float(largest_at_most(path, np.array([high]), strict=False)[0])


class _Edit:
    """The arrays of a forest, being rewritten feature by feature."""

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self.threshold = forest.threshold.values.copy()
        self.left, self.right = forest.left.values.copy(), forest.right.values.copy()
        self.missing, self.default_left = (
            forest.missing.values.copy(),
            forest.default_left.values.copy(),
        )
        self.category = forest.category.values.copy()
        self.sets: list[npt.NDArray[np.int64]] = [
            forest.set_member.values[a:b]
            for a, b in zip(forest.set_start.values[:-1], forest.set_start.values[1:], strict=True)
        ]
        self.set_of: dict[int, int] = {}

    def pull(self, feature: int, path: Path) -> bool:
        """Move one feature to its source column; False, with nothing changed, where that is not exact."""
        nodes = np.flatnonzero(self.forest.feature.values == feature)
        if path.encode is not None:
            return self._pull_category(nodes, path)
        numeric = self.forest.category.values[nodes] < 0
        if path.functions and not numeric.all():
            return False
        nodes = nodes[numeric]
        rule = self.forest.missing.values[nodes]
        if path.functions and (rule == 2).any():
            return False
        strict = self.forest.operator == "<"
        distinct, of_node = np.unique(self.threshold[nodes], return_inverse=True)
        pulled = largest_at_most(path, distinct, strict)
        if np.isnan(pulled).any():
            return False
        of_nan = float(path(np.array([np.nan]))[0])
        if np.isnan(of_nan):
            zero_left = (distinct > 0.0 if strict else distinct >= 0.0)[of_node]
            as_zero = (rule == 3) & bool(path.functions)
            self.default_left[nodes] = np.where(as_zero, zero_left, self.default_left[nodes])
            self.missing[nodes] = np.where(as_zero, 1, rule)
        else:
            self.default_left[nodes] = (of_nan < distinct if strict else of_nan <= distinct)[
                of_node
            ]
            self.missing[nodes] = 1
        self.threshold[nodes] = pulled[of_node]
        return True

    def _pull_category(self, nodes: Ints, path: Path) -> bool:
        """A split on a one-hot column asks for its category."""
        if (self.forest.category.values[nodes] >= 0).any() or (
            self.forest.missing.values[nodes] == 2
        ).any():
            return False
        absent, present = (float(v) for v in path(np.array([0.0, 1.0])))
        threshold = self.threshold[nodes]
        strict = self.forest.operator == "<"
        absent_left = absent < threshold if strict else absent <= threshold
        present_left = present < threshold if strict else present <= threshold
        swap = nodes[absent_left]
        self.left[swap], self.right[swap] = self.right[swap], self.left[swap].copy()
        asks = absent_left != present_left
        self.category[nodes] = np.where(asks, self._set_for(path.category + 1), self._set_for(-1))
        self.missing[nodes], self.default_left[nodes], self.threshold[nodes] = 0, False, 0.0
        return True

    def _set_for(self, code: int) -> int:
        """The set that holds one code; -1 for the empty set."""
        if code not in self.set_of:
            self.set_of[code] = len(self.sets)
            self.sets.append(np.array([code] if code >= 0 else [], np.int64))
        return self.set_of[code]

    def make_less_equal(self, feature: int) -> None:
        """A feature that stays where it is, compared with ``<=`` like all others."""
        if self.forest.operator == "<":
            nodes = (self.forest.feature.values == feature) & (self.forest.category.values < 0)
            self.threshold[nodes] = np.nextafter(self.threshold[nodes], -np.inf)

    def finished(self, feature_of: dict[int, int]) -> Forest:
        table = np.full(max(feature_of) + 2, -1, np.int32)
        table[list(feature_of)] = list(feature_of.values())
        sizes = [len(s) for s in self.sets]
        return replace(
            self.forest,
            feature=Array(table[self.forest.feature.values]),
            threshold=Array(self.threshold),
            left=Array(self.left),
            right=Array(self.right),
            missing=Array(self.missing),
            default_left=Array(self.default_left),
            category=Array(self.category),
            set_start=Array(offsets(sizes)),
            set_member=Array(np.concatenate([*self.sets, np.empty(0, np.int64)]), "int64"),
            operator="<=",
        )
