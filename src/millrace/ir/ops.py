"""The primitives: what a step of a program can be.

Every value is a block: `n` rows by `width` columns of one dtype. Semantics are those of the
named NumPy function unless a docstring says otherwise, so that the reference backend is a
direct transcription and exactness is a matter of calling the same function.

A node holds constants only; its inputs are step positions kept by `Step`. Adding a primitive is
deliberately costly: it also needs a rule in `types.infer`, a reference and a lowering, and the
type checker lists those places (`match ... assert_never`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millrace.ir.arrays import Array, Text


@dataclass(frozen=True)
class Select:
    """Read columns of the input table.

    The dtype is NumPy's common type of the columns; ``object`` as soon as one holds text.
    """

    columns: tuple[int, ...]


@dataclass(frozen=True)
class Constant:
    """One row (1 x width) that stands for every row. Broadcast by elementwise primitives."""

    row: Array | Text


@dataclass(frozen=True)
class Cast:
    """Convert to a dtype.

    ``"float"`` keeps float16, float32 and float64 and turns all else into float64, as
    scikit-learn's ``check_array(dtype=FLOAT_DTYPES)`` does; ``"numeric"`` turns object columns into
    float64 and keeps all else. Text that is not a number raises `ColumnTypeError`.
    """

    dtype: Literal["float", "numeric", "float32", "float64", "int32", "int64", "bool"]


@dataclass(frozen=True)
class CastLike:
    """Convert the first input to the dtype of the second, as ``a.astype(b.dtype)`` does.

    In-place arithmetic of a source library (``X -= mean``) is ``CastLike(X - mean, X)``.
    """


@dataclass(frozen=True)
class Unary:
    """Apply a NumPy ufunc of one argument, or ``expit`` and ``logit`` of ``scipy.special``."""

    ufunc: str


@dataclass(frozen=True)
class Binary:
    """Apply a NumPy ufunc of two arguments; widths are equal or 1."""

    ufunc: str


@dataclass(frozen=True)
class IsMissing:
    """Which cells are missing (bool).

    ``nan``: NaN, and a null of an Arrow or nullable column. ``none``: also Python's None.
    ``value``: cells equal to the given number or string.
    """

    rule: Literal["nan", "none", "value"] = "nan"
    value: float | str | None = None


@dataclass(frozen=True)
class Where:
    """``numpy.where(condition, a, b)``; inputs: condition, a, b; widths are equal or 1."""


@dataclass(frozen=True)
class Concat:
    """``numpy.hstack`` of the inputs, with NumPy's type promotion."""


@dataclass(frozen=True)
class Take:
    """Columns of a block by position, in this order."""

    columns: tuple[int, ...]


@dataclass(frozen=True)
class MatMul:
    """``x @ weights``; weights: (width of x, m)."""

    weights: Array


@dataclass(frozen=True)
class Reduce:
    """Reduce each row to one value: ``numpy.<name>(x, axis=1)``, result width 1."""

    function: Literal["sum", "mean", "max", "min", "argmax"]


@dataclass(frozen=True)
class Encode:
    """Replace each value of a one-column block by the code of its category (int32).

    Attributes
    ----------
    categories : Array (m,) or Text
        Numbers are matched by ``==`` after conversion to float64, strings exactly.
    codes : Array of int32 (m,)
        The code of each category; several categories may share one.
    nan, none : int
        The codes of NaN (and nulls) and of None; `unknown` where they are no categories.
    unknown : int
        The code of every other value.
    strict : bool
        Raise `UnknownCategoryError` for values that would get `unknown`.
    owner_column : str
        The column named in that error.
    hashed : bool
        The categories are hashes (`cityhash.category_hash`) of the cells' texts, as CatBoost keeps them:
        strings and integers have one, floats and missing cells raise `ColumnTypeError`.
    """

    categories: Array | Text
    codes: Array
    nan: int = -1
    none: int = -1
    unknown: int = -1
    strict: bool = False
    owner_column: str = ""
    hashed: bool = False


@dataclass(frozen=True)
class OneHot:
    """Codes (width 1) to `width` indicator columns; a code outside 0..width-1 gives zeros."""

    width: int
    dtype: str = "float64"


@dataclass(frozen=True)
class Gather:
    """Rows of a table by code (width 1): ``table[code]``; a one-dimensional table has width 1.

    Negative codes and codes past the end are an error of the program, not of the input.
    """

    table: Array | Text


@dataclass(frozen=True)
class Guard:
    """Pass the block on, or raise `NonFiniteError` where the source estimator would.

    A value passes when ``low <= value <= high`` or when it is NaN and `allow_nan` is set. `low` and
    `high` are (1,) or (width,) float64; the default lets every finite value of the block's dtype
    pass and refuses the infinities. In an object block only NaN is refused, where `allow_nan` is not
    set; integers always pass.
    """

    owner: str
    allow_nan: bool = False
    low: Array | None = None
    high: Array | None = None


@dataclass(frozen=True)
class LinearLeaves:
    """Linear models in the leaves: ``intercept + sum(coef * x[feature])`` in stored order.

    A leaf with a NaN among its features gives the constant `Forest.value` instead, as in LightGBM.

    Attributes
    ----------
    intercept : Array float64 (n_leaves,)
    start : Array int64 (n_leaves + 1,)
        Slice of `feature` and `coef` that belongs to each leaf.
    feature : Array int32 (n_terms,)
    coef : Array float64 (n_terms,)
    """

    intercept: Array
    start: Array
    feature: Array
    coef: Array


@dataclass(frozen=True)
class Forest:
    """Decision trees as flat arrays; the nodes of all trees one after another.

    A row goes to `left` where ``x[feature] <= threshold`` (or ``<``, see `operator`), compared
    in float64, which is exact for float32 input. NaN compares as false, unless `missing` says
    otherwise. Node 0 of each tree is its root.

    Attributes
    ----------
    start : Array int64 (n_trees + 1,)
        First node of each tree in the arrays of nodes.
    feature : Array int32 (n_nodes,)
        Column of the input block; -1 at a leaf.
    threshold : Array float64 (n_nodes,)
    left, right : Array int32 (n_nodes,)
        Children, counted from the first node of the tree; at a leaf both are -1.
    leaf : Array int32 (n_nodes,)
        Row of `value` at a leaf, -1 at a split.
    missing : Array uint8 (n_nodes,)
        0: nothing is missing. 1: NaN is missing. 2: NaN and ``abs(x) <= float32(1e-35)`` are missing
        (LightGBM's zero_as_missing). 3: NaN is read as 0.0.
    default_left : Array bool (n_nodes,)
        Where a missing value goes.
    category : Array int32 (n_nodes,)
        -1 for a numeric split, else the position of the category set: the row goes left when the
        value, truncated towards zero, is in the set. Not in the set are: missing values (when
        `missing` is 1 or 2 they follow `default_left` first), negative values and infinities;
        with `missing` 0 or 3, NaN goes right.
    set_start : Array int64 (n_sets + 1,), set_member : Array int64
        The members of each category set, ascending.
    value : Array float64 or float32 (n_leaves, n_values)
        What a leaf adds to the sums.
    target : Array int32 (n_trees,)
        First of the `n_values` outputs that the tree adds to.
    leaf_id : Array int64 (n_leaves,)
        The name that the source gives to the leaf in `apply`.
    n_outputs : int
    base : Array (n_outputs,), dtype of `value`
        Where the sums start. The trees are added to it one by one, in order, in this dtype.
    operator : {"<=", "<"}
    linear : LinearLeaves, optional
    """

    start: Array
    feature: Array
    threshold: Array
    left: Array
    right: Array
    leaf: Array
    value: Array
    target: Array
    leaf_id: Array
    n_outputs: int
    base: Array
    missing: Array
    default_left: Array
    category: Array
    set_start: Array = field(default_factory=lambda: Array([0], "int64"))
    set_member: Array = field(default_factory=lambda: Array([], "int64"))
    operator: Literal["<=", "<"] = "<="
    linear: LinearLeaves | None = None

    @property
    def n_trees(self) -> int:
        return len(self.start) - 1


@dataclass(frozen=True)
class Trees:
    """The sums of the leaf values of all trees: block -> (n, n_outputs) in the dtype of the values."""

    forest: Forest


@dataclass(frozen=True)
class Leaves:
    """The leaf of each tree that a row falls into, by the source's name: block -> (n, n_trees) int64."""

    forest: Forest


@dataclass(frozen=True)
class Call:
    """Call a method of the original Python object on the block (or on the named columns).

    Attributes
    ----------
    key : str
        Where the object is kept by the compiled model; a program holds no code.
    method : str
    path : str
        The step's path in the source object, for messages.
    reason : str
        Why it is not native.
    width : int
    dtype : str
    frame : tuple of str, optional
        Hand the object a pandas DataFrame with these column names instead of a NumPy array.
    sparse : {"csr_matrix", "csr_array"}, optional
        Hand it a sparse matrix, as the step before it does in the source.
    """

    key: str
    method: str
    path: str
    reason: str
    width: int
    dtype: str = "float64"
    frame: tuple[str, ...] | None = None
    sparse: str | None = None


Op = (
    Select
    | Constant
    | Cast
    | CastLike
    | Unary
    | Binary
    | IsMissing
    | Where
    | Concat
    | Take
    | MatMul
    | Reduce
    | Encode
    | OneHot
    | Gather
    | Guard
    | Trees
    | Leaves
    | Call
)
