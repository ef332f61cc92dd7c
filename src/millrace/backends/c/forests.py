"""Decision trees as tables of packed nodes and one small walk.

A child below zero is a leaf: its complement counts from the first leaf of its tree. Where the block
is float32 a threshold is kept as the float that splits the floats at the same place; the fields of
a node are as small as the forest allows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from millrace.backends.c.elementwise import refuse
from millrace.backends.c.function import Buffer, Function
from millrace.backends.c.unit import Unit
from millrace.backends.c.words import ctype, literal, smallest
from millrace.ir.arrays import offsets
from millrace.ir.ops import Forest

MOST_BITS = 1 << 16
"""Category sets whose members stay below this are bitsets; others are sorted lists."""

DEFAULT_LEFT, CATEGORY = 4, 8
"""Flags of a node, above the two bits of its missing rule."""

Ints = npt.NDArray[np.int64]


@dataclass
class Layout:
    """The trees renumbered: splits and leaves of a tree counted from its first.

    Attributes
    ----------
    node : int64 (n_splits,)
        Node of the forest behind each split.
    left, right : list of int
        Children of each split; the complement of a leaf below zero.
    leaf : list of int
        Row of `Forest.value` behind each leaf.
    first_split, first_leaf, root : list of int
        By tree.
    """

    node: list[int] = field(default_factory=list[int])
    left: list[int] = field(default_factory=list[int])
    right: list[int] = field(default_factory=list[int])
    leaf: list[int] = field(default_factory=list[int])
    first_split: list[int] = field(default_factory=list[int])
    first_leaf: list[int] = field(default_factory=list[int])
    root: list[int] = field(default_factory=list[int])


def layout(forest: Forest) -> Layout:
    """Number splits and leaves of every tree in the order of its nodes."""
    made = Layout()
    start, feature = forest.start.values, forest.feature.values
    for tree in range(forest.n_trees):
        first, stop = int(start[tree]), int(start[tree + 1])
        is_leaf = feature[first:stop] < 0
        code = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
        splits = np.flatnonzero(~is_leaf) + first
        made.first_split.append(len(made.node))
        made.first_leaf.append(len(made.leaf))
        made.root.append(int(code[0]))
        made.node += splits.tolist()
        made.left += code[forest.left.values[splits]].tolist()
        made.right += code[forest.right.values[splits]].tolist()
        made.leaf += forest.leaf.values[first:stop][is_leaf].tolist()
    return made


def tree_sums(f: Function, x: Buffer, forest: Forest) -> Buffer:
    """`Trees`: the base, and then the leaf of each tree, one by one."""
    target = f.new()
    writer = _writer(f, forest, x.dtype)
    f.unit.helpers.setdefault(f"{writer.name}_sums", writer.sum_function())
    f.line(f"{writer.name}_sums({_rows(x)}, {target.name});")
    return target


def tree_leaves(f: Function, x: Buffer, forest: Forest) -> Buffer:
    """`Leaves`: the source's name of the leaf of each tree."""
    target = f.new()
    writer = _writer(f, forest, x.dtype)
    name, ids = writer.name, forest.leaf_id.values[writer.made.leaf]
    if np.array_equal(ids, np.arange(len(ids))):
        return f.assign(target, lambda i: f"{name}_leaf({_rows(x)}, {i})")
    table = f.unit.numbers(ids, smallest(ids))
    return f.assign(target, lambda i: f"{table}[{name}_leaf({_rows(x)}, {i})]")


def _rows(x: Buffer) -> str:
    return x.name if x.width else "NULL"


def _writer(f: Function, forest: Forest, dtype: str) -> _Writer:
    """What writes a forest for blocks of a dtype; its walk is written at the first use."""
    if dtype == "object":
        raise refuse("Trees", f.step, "trees over text")
    name = f.unit.forests.setdefault((forest, dtype), f"forest{len(f.unit.forests)}")
    writer = _Writer(f.unit, forest, layout(forest), name, dtype)
    if name not in f.unit.helpers:
        f.unit.helpers[name] = writer.leaf_function()
    return writer


@dataclass
class _Writer:
    """Writes the C of one forest."""

    unit: Unit
    forest: Forest
    made: Layout
    name: str
    dtype: str

    # -- the walk --------------------------------------------------------------------------
    def leaf_function(self) -> str:
        """The type of a node, and the function that finds the leaf of a tree."""
        forest, made, unit = self.forest, self.made, self.unit
        child = smallest([*made.left, *made.right])
        feature = smallest(forest.feature.values)
        dtype, thresholds = self._thresholds()
        flags = self._flags()
        fields = [
            f"    {ctype(dtype)} threshold;",
            f"    {ctype(child)} left, right;",
            f"    {ctype(feature)} feature;",
        ]
        columns = [thresholds, [str(c) for c in made.left], [str(c) for c in made.right]]
        columns.append([str(c) for c in forest.feature.values[made.node].tolist()])
        if any(flags):
            fields.append("    uint8_t flags;")
            columns.append([str(v) for v in flags])
        kind = f"struct {self.name}_node"
        cells = ["{" + ", ".join(row) + "}" for row in zip(*columns, strict=True)]
        unit.structures[kind] = f"{kind} {{\n" + "\n".join(fields) + "\n};\n"
        nodes = unit.records(kind, cells)
        root, first, leaf = (
            unit.numbers(v, smallest(v)) for v in (made.root, made.first_split, made.first_leaf)
        )
        return (
            f"static int32_t {self.name}_leaf(const {ctype(self.dtype)} *x, int tree)\n{{\n"
            f"    const {kind} *const first = {nodes} + {first}[tree];\n"
            f"    int32_t at = {root}[tree];\n"
            f"    while (at >= 0) {{\n"
            f"        const {kind} *const node = first + at;\n"
            f"{self._decision(any(flags))}"
            f"    }}\n"
            f"    return {leaf}[tree] + ~at;\n}}\n"
        ).replace("(const NULL", "(NULL")

    def _thresholds(self) -> tuple[str, list[str]]:
        """The dtype of the thresholds and their literals; a set's position where the split has one."""
        forest, node = self.forest, self.made.node
        values = forest.threshold.values[node].astype(np.float64)
        category = forest.category.values[node]
        if self.dtype in ("float32", "bool", "int8", "uint8", "int16", "uint16"):
            values = _as_float32(values, forest.operator)
        values = np.where(category >= 0, category, values)
        with np.errstate(over="ignore"):
            short = values.astype(np.float32).astype(np.float64)
        same = bool(((short == values) | np.isnan(values)).all())
        dtype = "float32" if same else "float64"
        return dtype, [literal(v, dtype) for v in values.tolist()]

    def _flags(self) -> list[int]:
        forest, node = self.forest, self.made.node
        flags = forest.missing.values[node].astype(int)
        flags += (
            DEFAULT_LEFT * ((flags % 4 == 1) | (flags % 4 == 2)) * forest.default_left.values[node]
        )
        flags += CATEGORY * (forest.category.values[node] >= 0)
        return flags.tolist()

    def _decision(self, flagged: bool) -> str:
        """Lines that move ``at`` to a child."""
        compare = f"value {self.forest.operator} ({self._wide()})node->threshold"
        move = "        at = left ? node->left : node->right;\n"
        if not flagged:
            return (
                f"        const {self._wide()} value = x[node->feature];\n"
                f"        const int left = {compare};\n{move}"
            )
        lines = [f"{self._wide()} value = x[node->feature];", "int left;"]
        rules = set((self.forest.missing.values[self.made.node] % 4).tolist())
        branches: list[str] = []
        if 3 in rules:
            lines.append("if (isnan(value) && (node->flags & 3) == 3) value = 0;")
        if 1 in rules:
            branches.append(
                "if (isnan(value) && (node->flags & 3) == 1) left = node->flags >> 2 & 1;"
            )
        if 2 in rules:
            tiny = literal(float(np.float32(1e-35)), "float64")
            branches.append(
                f"if ((node->flags & 3) == 2 && (isnan(value) || fabs((double)value) <= {tiny})) "
                "left = node->flags >> 2 & 1;"
            )
        if (self.forest.category.values[self.made.node] >= 0).any():
            branches.append(
                f"if (node->flags & {CATEGORY}) left = {self._set_function()}"
                "((int32_t)node->threshold, (double)value);"
            )
        branches.append(f"left = {compare};")
        lines += [b if i == 0 else f"else {b}" for i, b in enumerate(branches)]
        return "".join(f"        {line}\n" for line in lines) + move

    def _wide(self) -> str:
        """The type of comparisons: float where both sides are floats."""
        return "float" if self.dtype == "float32" else "double"

    # -- category sets ---------------------------------------------------------------------
    def _set_function(self) -> str:
        """The name of the function that says whether a value is in a category set."""
        forest, unit, name = self.forest, self.unit, f"{self.name}_in_set"
        start, member = forest.set_start.values, forest.set_member.values
        if len(member) and int(member.min()) >= 0 and int(member.max()) < MOST_BITS:
            words, first = _bitsets(start, member)
            body = (
                f"    const int32_t from = {unit.numbers(first, smallest(first))}[set],\n"
                f"                  words = {unit.numbers(first, smallest(first))}[set + 1] - from;\n"
                "    if (!(value > -1 && value < 32.0 * words)) return 0;\n"
                "    const int32_t member = (int32_t)value;\n"
                f"    return {unit.numbers(words, 'uint32')}[from + member / 32] >> member % 32 & 1;\n"
            )
        else:
            first, find = unit.numbers(start, "int32"), unit.helper("find_number")
            members = unit.numbers(member, "float64")
            body = (
                "    if (!(value > -1 && isfinite(value))) return 0;\n"
                f"    const int32_t from = {first}[set];\n"
                f"    return {find}({members} + from, {first}[set + 1] - from, trunc(value)) >= 0;\n"
            )
        unit.helpers[name] = f"static int {name}(int32_t set, double value)\n{{\n{body}}}\n"
        return name

    # -- the sums --------------------------------------------------------------------------
    def sum_function(self) -> str:
        """The function that adds up the leaves of all trees."""
        forest, made, unit = self.forest, self.made, self.unit
        dtype = str(forest.value.dtype)
        kind, n_values = ctype(dtype), forest.value.shape[1]
        base = unit.numbers(forest.base.values, dtype)
        rows = forest.value.values[made.leaf]
        with np.errstate(over="ignore"):
            short = np.array_equal(
                rows.astype(np.float32).astype(np.float64), rows.astype(np.float64)
            )
        values = unit.numbers(rows, "float32" if short else dtype)
        target = forest.target.values
        to = ""
        if (target != 0).any():
            to = f"{unit.numbers(target, smallest(target))}[tree]"
        at = f"{to} + i" if to else "i"
        if forest.linear is not None:
            added = f"{self._linear_function(values)}(x, {self.name}_leaf(x, tree))"
            step = f"        sums[{to or 0}] += {added};\n"
        elif n_values == 1:
            step = f"        sums[{to or 0}] += {values}[{self.name}_leaf(x, tree)];\n"
        else:
            step = (
                f"        const {'float' if short else kind} *const value = "
                f"{values} + {n_values} * (size_t){self.name}_leaf(x, tree);\n"
                f"        for (int i = 0; i < {n_values}; i++) sums[{at}] += value[i];\n"
            )
        return (
            f"static void {self.name}_sums(const {ctype(self.dtype)} *x, {kind} *sums)\n{{\n"
            f"    for (int i = 0; i < {forest.n_outputs}; i++) sums[i] = {base}[i];\n"
            f"    for (int tree = 0; tree < {forest.n_trees}; tree++) {{\n{step}    }}\n}}\n"
        )

    def _linear_function(self, values: str) -> str:
        """The name of the function that gives the linear model of a leaf, or its constant."""
        linear, leaf, unit = self.forest.linear, self.made.leaf, self.unit
        assert linear is not None
        name, kind = f"{self.name}_linear", ctype(str(self.forest.value.dtype))
        bounds = [(int(linear.start.values[i]), int(linear.start.values[i + 1])) for i in leaf]
        terms = [t for first, stop in bounds for t in range(first, stop)]
        start = offsets([stop - first for first, stop in bounds])
        feature = linear.feature.values[terms]
        unit.helpers[name] = (
            f"static {kind} {name}(const {ctype(self.dtype)} *x, int32_t leaf)\n{{\n"
            f"    double total = {unit.numbers(linear.intercept.values[leaf], 'float64')}[leaf];\n"
            f"    const int32_t stop = {unit.numbers(start, 'int32')}[leaf + 1];\n"
            f"    for (int32_t i = {unit.numbers(start, 'int32')}[leaf]; i < stop; i++) {{\n"
            f"        const double value = x[{unit.numbers(feature, smallest(feature))}[i]];\n"
            f"        if (isnan(value)) return ({kind}){values}[leaf];\n"
            f"        total += {unit.numbers(linear.coef.values[terms], 'float64')}[i] * value;\n"
            f"    }}\n    return ({kind})total;\n}}\n"
        )
        return name


def _as_float32(thresholds: npt.NDArray[np.float64], operator: str) -> npt.NDArray[np.float64]:
    """The float32 that splits all float32 values where the float64 does."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
        if operator == "<=":
            moved = np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
        else:
            moved = np.where(near < thresholds, np.nextafter(near, np.float32(np.inf)), near)
    return moved.astype(np.float64)


def _bitsets(start: Ints, member: Ints) -> tuple[Ints, Ints]:
    """Words of 32 bits of all sets, and where each set begins."""
    words: list[int] = []
    first = [0]
    for begin, stop in zip(start, start[1:], strict=False):
        mine = member[begin:stop]
        bits = [0] * (int(mine.max()) // 32 + 1 if len(mine) else 0)
        for m in mine.tolist():
            bits[m // 32] |= 1 << (m % 32)
        words += bits
        first.append(len(words))
    return np.array(words, np.int64), np.array(first, np.int64)
