"""The primitives: what a step of a program can be.

Every value is a block: `n` rows by `width` columns of one dtype, dense or sparse (CSR). A sparse
block stays sparse through the primitives that keep its zeros (see `types.result`). Semantics are
those of the named NumPy function unless a docstring says otherwise, so that the reference backend is
a direct transcription and exactness is a matter of calling the same function.

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
    """Convert to a dtype, given by its NumPy name or by a rule.

    ``"float"`` keeps float16, float32 and float64 and turns all else into float64, as
    scikit-learn's ``check_array(dtype=FLOAT_DTYPES)`` does; ``"numeric"`` turns object columns into
    float64 and keeps all else. Text that is not a number raises `ColumnTypeError`.
    """

    dtype: str


@dataclass(frozen=True)
class CastLike:
    """Convert the first input to the dtype of the second, as ``a.astype(b.dtype)`` does.

    In-place arithmetic of a source library (``X -= mean``) is ``CastLike(X - mean, X)``.
    """


@dataclass(frozen=True)
class Unary:
    """Apply a ufunc of one argument, of NumPy or, where it has none of that name, ``scipy.special``."""

    ufunc: str


@dataclass(frozen=True)
class Binary:
    """Apply a ufunc of two arguments (see `Unary`); widths are equal or 1."""

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
    """``numpy.hstack`` of the inputs, with NumPy's type promotion.

    `apart` says that the source, where it is asked for a data frame, puts frames side by side: then
    each column keeps the dtype that it has among the inputs.
    """

    apart: bool = False


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
    """Reduce each row to one value: ``numpy.<name>(x, axis=1)``, result width 1.

    ``square_sum`` is ``numpy.einsum("ij,ij->i", x, x)``, which adds in another order than ``sum``.
    """

    function: Literal[
        "sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin", "square_sum"
    ]


@dataclass(frozen=True)
class Accumulate:
    """``numpy.<ufunc>.accumulate(x, axis=1)``: ``add`` gives the cumulative sum of each row."""

    ufunc: str


@dataclass(frozen=True)
class ArgSort:
    """``numpy.argsort(x, axis=1, kind="stable")`` (int64)."""


@dataclass(frozen=True)
class PickAlong:
    """``numpy.take_along_axis(x, positions, axis=1)``; inputs: block (or a constant row), positions."""


@dataclass(frozen=True)
class SearchSorted:
    """Where each value stands among the sorted edges of its column (int64).

    ``numpy.searchsorted(edges of column c, x[:, c], side)``: NaN comes after all edges.

    Attributes
    ----------
    start : Array int64 (width + 1,)
        Slice of `edge` that belongs to each column.
    edge : Array float64 or float32 (n_edges,)
    side : {"left", "right"}
    """

    start: Array
    edge: Array
    side: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Interpolate:
    """``numpy.interp(x[:, c], xp of column c, fp of column c)`` (float64); NaN stays NaN.

    Attributes
    ----------
    start : Array int64 (width + 1,)
        Slice of `xp` and `fp` that belongs to each column.
    xp, fp : Array float64 (n_points,)
    """

    start: Array
    xp: Array
    fp: Array


@dataclass(frozen=True)
class Spline:
    """``scipy.interpolate.BSpline(knots, coefficients, degree, extrapolate)`` of one column.

    Attributes
    ----------
    knots : Array float64 (n_knots,)
    coefficients : Array float64 (n_splines, width of the result)
    degree : int
    extrapolate : {"yes", "no", "periodic"}
        ``no`` gives NaN outside the knots.
    """

    knots: Array
    coefficients: Array
    degree: int
    extrapolate: Literal["yes", "no", "periodic"] = "no"


Metric = Literal["euclidean", "sqeuclidean", "cityblock", "chebyshev", "minkowski", "nan_euclidean"]


@dataclass(frozen=True)
class Distances:
    """Distances of each row to given points, from the differences themselves: (n, m) float64.

    ``scipy.spatial.distance.cdist(x, points, metric)``; ``nan_euclidean`` as in scikit-learn's
    ``nan_euclidean_distances``, up to rounding. Distances from products (``xx - 2 xy + yy``) are written
    with `MatMul`, as the source has them.

    Attributes
    ----------
    points : Array float64 (m, width of x)
    metric : Metric
    p : float
        The power of ``minkowski``.
    """

    points: Array
    metric: Metric = "euclidean"
    p: float = 2.0


@dataclass(frozen=True)
class Nearest:
    """The nearest of given points, nearest first: (n, 2 k) float64, k distances and then k positions.

    Distances are those of `Distances`; of points at the same distance the one of the lowest position
    comes first.

    Attributes
    ----------
    points : Array float64 (m, width of x)
    k : int
    metric : Metric
    p : float
    """

    points: Array
    k: int
    metric: Metric = "euclidean"
    p: float = 2.0


@dataclass(frozen=True)
class ImputeNearest:
    """Fill NaN by the mean of that column over the k nearest points that have it (float64).

    Distances are ``nan_euclidean``. Where no point that has the value is at a known distance, the
    cell gets `fill` of its column.

    Attributes
    ----------
    points : Array float64 (m, width of x)
    n_neighbors : int
    weights : {"uniform", "distance"}
        ``distance``: the mean is weighted by one over the distance; points at distance 0 alone count,
        where there are some.
    fill : Array float64 (width of x,)
    """

    points: Array
    n_neighbors: int
    weights: Literal["uniform", "distance"]
    fill: Array


@dataclass(frozen=True)
class Terms:
    """Count the terms of each document: a column of text -> sparse counts, one column a term.

    The analysis is that of scikit-learn's ``CountVectorizer``: strip accents, lower, tokenise, drop
    stop words, n-grams.

    Attributes
    ----------
    analyzer : {"word", "char", "char_wb"}
    ngram_range : tuple of int
        Shortest and longest n-gram.
    vocabulary : Text, optional
        The terms in the order of their columns; others are not counted. None where terms are hashed.
    n_features : int
        Columns of the result; a hashed term counts in column ``abs(h) % n_features`` with ``h`` the
        signed 32-bit MurmurHash3 (seed 0) of its UTF-8 bytes.
    alternate_sign : bool
        A hashed term counts -1 where ``h`` is negative.
    lowercase : bool
    strip_accents : {"ascii", "unicode"}, optional
    token_pattern : str
        Regular expression of a word.
    stop_words : Text
    binary : bool
        Count each term once at most.
    dtype : str
        Dtype of the counts.
    """

    analyzer: Literal["word", "char", "char_wb"]
    ngram_range: tuple[int, int]
    vocabulary: Text | None
    n_features: int
    alternate_sign: bool = False
    lowercase: bool = True
    strip_accents: Literal["ascii", "unicode"] | None = None
    token_pattern: str = r"(?u)\b\w\w+\b"
    stop_words: Text = field(default_factory=lambda: Text(()))
    binary: bool = False
    dtype: str = "int64"


@dataclass(frozen=True)
class Features:
    """Spread collections over columns: a column of Python objects -> sparse values, one column a feature.

    Attributes
    ----------
    kind : {"dict", "pair", "string", "set"}
        What a cell holds: a mapping of name to value, pairs of name and value, names that count 1, or a
        set of labels. A value that is a string stands for the feature ``name + separator + value`` and
        counts 1.
    names : Text or Array, optional
        The features in the order of their columns; others are passed over, or refused where `strict`.
        None where names are hashed as by `Terms`.
    n_features : int
    alternate_sign : bool
    separator : str
    dtype : str
    strict : bool
    """

    kind: Literal["dict", "pair", "string", "set"]
    names: Text | Array | None
    n_features: int
    alternate_sign: bool = False
    separator: str = "="
    dtype: str = "float64"
    strict: bool = False


@dataclass(frozen=True)
class Sparse:
    """Keep the cells that are not zero: a block -> the same block as a CSR matrix."""


@dataclass(frozen=True)
class Dense:
    """Every cell of a sparse block, as ``X.toarray()`` in the source; written only where it does that."""


@dataclass(frozen=True)
class Require:
    """Pass the first input on, or raise `RefusedRowError` at the first row where the second is false.

    Attributes
    ----------
    owner : str
        The class that refuses the row.
    problem : str
        What is wrong with such a row: "negative values", "no neighbour within the radius 0.5".
    """

    owner: str
    problem: str


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
    """Codes (width 1) to `width` indicator columns; a code outside 0..width-1 gives zeros.

    `sparse` keeps the one cell of a row that is not zero, as a source does that gives sparse columns.
    """

    width: int
    dtype: str = "float64"
    sparse: bool = False


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
    series : bool
        Hand it the single column as a one-dimensional array.
    gives_sparse : bool
        It answers with a sparse matrix, which stays sparse.
    """

    key: str
    method: str
    path: str
    reason: str
    width: int
    dtype: str = "float64"
    frame: tuple[str, ...] | None = None
    sparse: str | None = None
    series: bool = False
    gives_sparse: bool = False


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
    | Accumulate
    | ArgSort
    | PickAlong
    | SearchSorted
    | Interpolate
    | Spline
    | Distances
    | Nearest
    | ImputeNearest
    | Terms
    | Features
    | Sparse
    | Dense
    | Require
    | Encode
    | OneHot
    | Gather
    | Guard
    | Trees
    | Leaves
    | Call
)
