"""The machine for one row: NumPy's loops by address, whole programs, single cells, odd rows."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import millrace as mr
from millrace.backends.numba import Executable
from millrace.backends.numba.csr_row import row_maker
from millrace.backends.numba.loops import inner_loop, lanes_of_einsum, run
from millrace.backends.numba.single import single_of_array, single_of_cells
from millrace.ir import Program
from millrace.ir.types import function
from millrace.rewrites import rewrite, simplify
from tests.conformance.compare import difference
from tests.properties.programs import RECIPES, Recipe, random_columns, random_program
from tests.properties.test_batching import in_any_order

UFUNCS = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "maximum",
    "minimum",
    "equal",
    "greater_equal",
    "logical_and",
    "negative",
    "sqrt",
    "square",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sign",
    "absolute",
    "isnan",
    "floor",
    "tanh",
    "cos",
    "expit",
    "erf",
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", UFUNCS)
def test_loops_have_the_bits_of_their_ufuncs(name: str, dtype: str) -> None:
    """For every length that vector code treats apart, along arrays and beside a single cell."""
    ufunc: Any = function(name)
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        for n in (1, 2, 3, 7, 8, 9, 16, 31, 64, 100):
            cells = [(rng.normal(size=n) * 10).astype(dtype) for _ in range(ufunc.nin)]
            tries = [cells] if ufunc.nin == 1 else [cells, [cells[0], cells[1][:1]]]
            for given_cells in tries:
                loop = inner_loop(name, *[dtype] * ufunc.nin)
                if loop is None:
                    assert name == "logical_and"  # of floats: not known, so not run
                    continue
                if [str(d) for d in loop.given] != [dtype] * ufunc.nin:
                    continue
                expected = ufunc(*given_cells)
                assert run(loop, *given_cells).tobytes() == expected.tobytes()


def test_loops_that_are_not_known() -> None:
    assert inner_loop("frexp", "float64") is None
    assert inner_loop("exp", "float64", "float64") is None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_squares_are_added_up_as_einsum_does(dtype: str) -> None:
    from millrace.backends.numba.kernels.cells import square_sum

    lanes = lanes_of_einsum(dtype)
    if not lanes:
        pytest.skip(
            "einsum adds up in an order that is not known here: such programs take NumPy's way"
        )
    rng = np.random.default_rng(1)
    for n in range(1, 200):
        row = rng.normal(size=(1, n)).astype(dtype)
        expected = np.einsum("ij,ij->i", row, row)[0]
        assert square_sum(row[0], n, lanes, np.empty(16, dtype)) == expected


def bound_program(recipe: Recipe, dtype: str) -> Program:
    binding = (dtype,) * recipe.n_numbers + ("object",) * recipe.n_texts
    return rewrite(simplify(random_program(recipe)).bound(binding))


def one_output(program: Program, name: str) -> Executable:
    return Executable(program.only(name).live(), {})


@given(RECIPES, st.sampled_from(["float64", "float32"]), st.sampled_from(["transform", "predict"]))
@settings(max_examples=150, deadline=None)
def test_random_programs(recipe: Recipe, dtype: str, method: str) -> None:
    """Every row of odd cells has the bits of the whole table, where no product is added up."""
    recipe = Recipe(recipe.seed, recipe.n_numbers, 0, recipe.n_steps, recipe.trees)
    executable = one_output(bound_program(recipe, dtype), method)
    parts = executable.program, executable.types, executable.engines, executable.encoders
    single = single_of_array(*parts)
    assume(not in_any_order(executable.program))
    if single is None:
        return
    columns = random_columns(recipe, dtype, 40)
    whole = executable.run(columns, 40)[method]
    for i, row in enumerate(np.stack(columns, axis=1)):
        got = single(row)
        if got is not None:
            assert not difference(np.asarray(whole[i]), np.asarray(got))


@given(RECIPES, st.sampled_from(["transform", "predict"]))
@settings(max_examples=100, deadline=None)
def test_random_programs_from_cells(recipe: Recipe, method: str) -> None:
    """Words become codes, missing words too."""
    executable = one_output(bound_program(recipe, "float64"), method)
    parts = executable.program, executable.types, executable.engines, executable.encoders
    found = single_of_cells(*parts)
    assume(not in_any_order(executable.program))
    if found is None:
        return
    read, single = found
    columns = random_columns(recipe, "float64", 40)
    for column in columns[recipe.n_numbers :]:
        column[[cell is None for cell in column]] = "a"  # a null in a row, itself in an array
    whole = executable.run(columns, 40)[method]
    for i in range(40):
        got = single(tuple(columns[c][i] for c in read))
        if got is not None:
            assert not difference(np.asarray(whole[i]), np.asarray(got))


def scaled() -> tuple[Any, Any, np.ndarray]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 4))
    y = np.where(X[:, 0] + X[:, 1] > 0, "high", "low")
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    return fitted, mr.compile(fitted), X


def test_rows_of_any_layout() -> None:
    """Strided, reversed, read-only and unaligned rows are the same rows."""
    fitted, model, X = scaled()
    function = model.row_function("predict_proba")
    expected = fitted.predict_proba(X[:1])[0]
    wide = np.zeros((4, 7))
    wide[:, 3] = X[0]
    packed = np.zeros(4 * 8 + 1, np.uint8)
    unaligned = packed[1:].view(np.float64)
    unaligned[:] = X[0]
    frozen = X[0].copy()
    frozen.flags.writeable = False
    forms = {
        "strided": wide[:, 3],
        "reversed": X[0][::-1].copy()[::-1],
        "read-only": frozen,
        "unaligned": unaligned,
        "list": X[0].tolist(),
    }
    for name, row in forms.items():
        function(X[1])
        assert not difference(expected, function(row), 4, 1e-15), name


def test_the_machine_runs_what_models_are_made_of() -> None:
    """Steps of every kind, none of which would be noticed if it took the slower way."""
    from sklearn.cluster import KMeans
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import PowerTransformer, QuantileTransformer
    from sklearn.svm import SVC

    rng = np.random.default_rng(4)
    X = rng.normal(size=(50, 3))
    y = (X[:, 0] > 0).astype(int)
    sources: list[Any] = [KMeans(3), RandomForestClassifier(5), GaussianNB(), SVC()]
    sources += [KNeighborsClassifier(3), MLPClassifier((4,), max_iter=5, solver="lbfgs")]
    sources += [PowerTransformer(), QuantileTransformer(n_quantiles=10)]
    for source in sources:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = mr.compile(source.fit(X, y), verify=False)
        for method in {"predict", "transform", "predict_proba"} & set(model.methods):
            found: Any = model.runnable(method, ("float64",) * 3)
            parts = found.program, found.types, found.engines, found.encoders
            assert single_of_array(*parts) is not None, (type(source), method)


def test_answers_are_apart() -> None:
    """An answer keeps its cells when the next row is answered."""
    _, model, X = scaled()
    function = model.row_function("predict_proba")
    answers = [function(row) for row in X]
    assert not difference(model.predict_proba(X), np.array(answers), 4, 1e-15)
    labels = [model.predict_one(row) for row in X]
    assert labels == model.predict(X).tolist()
    assert type(labels[0]) is type(model.predict(X)[0])


def test_odd_rows_take_the_general_way() -> None:
    """What scikit-learn refuses is refused, by the same prepared function that answers."""
    _, model, X = scaled()
    function = model.row_function()
    function(X[0])
    for value in (np.nan, np.inf, -np.inf):
        row = X[0].copy()
        row[2] = value
        with pytest.raises(ValueError, match="finite"):
            function(row)
    with pytest.raises(ValueError, match="4"):
        function(X[0][:3])
    with pytest.raises(ValueError, match="4"):
        function(np.append(X[0], 1.0))


def test_many_threads_share_a_function() -> None:
    fitted, model, X = scaled()
    function = model.row_function("predict_proba")
    expected = fitted.predict_proba(X)
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(50):
            got = np.array([function(row) for row in X])
            wrong.extend(
                [difference(expected, got, 4, 1e-15)] * bool(difference(expected, got, 4, 1e-15))
            )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_matrix_of_one_row_is_one_of_scipy() -> None:
    """It does all that a matrix from SciPy's own constructor does, and shares nothing."""
    make = row_maker(6, np.dtype("float64"), sp.csr_matrix)
    first = make(np.array([1, 4], np.int32), np.array([2.0, -1.0]))
    second = make(np.array([0], np.int32), np.array([7.0]))
    own = sp.csr_matrix(np.array([[0, 2.0, 0, 0, -1.0, 0]]))
    assert set(vars(first)) == set(vars(own)) | {"_has_sorted_indices", "_has_canonical_format"}
    first.check_format()
    for got in (first, first.copy(), copy.copy(first), pickle.loads(pickle.dumps(first)), first[0]):
        assert (got.toarray() == own.toarray()).all()
    assert (first @ own.T).toarray() == 5.0
    assert (sp.vstack([first, second]).toarray()[1] == [7, 0, 0, 0, 0, 0]).all()
    assert first.indices.dtype == own.indices.dtype
    assert first.indptr.dtype == own.indptr.dtype


TEXTS = [
    "a mill grinds",
    "grain, water; WATER",
    "",
    "caf\u00e9 water",
    "unknown words only",
    "\u0130x",
]
RECORDS = [{"a": 1.5, "b": 2}, {"a": 0.0}, {}, {"c": "word", "b": -1.0}, {"a": True}, {"d": 1}]


@pytest.mark.parametrize("name", ["counts", "hashed", "dicts", "dense dicts", "labels", "folded"])
def test_one_cell_of_a_batch(name: str) -> None:
    """A batch of one text or mapping is answered as scikit-learn answers it."""
    from sklearn.feature_extraction import DictVectorizer, FeatureHasher
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import MultiLabelBinarizer

    sets = [{"x", "y"}, {"z"}, set(), {"y", "z"}]
    makers: dict[str, tuple[Any, list[Any]]] = {
        "counts": (CountVectorizer(binary=True, ngram_range=(1, 2)).fit(TEXTS[:2]), TEXTS),
        "hashed": (FeatureHasher(16), RECORDS),
        "folded": (FeatureHasher(2, alternate_sign=False), RECORDS),
        "dicts": (DictVectorizer().fit(RECORDS[:2]), RECORDS),
        "dense dicts": (DictVectorizer(sparse=False).fit(RECORDS[:2]), RECORDS),
        "labels": (MultiLabelBinarizer().fit(sets), sets),
    }
    source, cells = makers[name]
    model = mr.compile(source)
    function = model.row_function("transform")
    for cell in cells:
        expected, got = source.transform([cell]), model.transform([cell])
        assert type(got) is type(expected)
        assert got.dtype == expected.dtype
        assert not difference(expected, got)
        one = function(cell)
        assert not difference(expected if sp.issparse(expected) else expected[0], one)


def test_one_sparse_row_of_indicators() -> None:
    from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder

    X = np.random.default_rng(2).integers(0, 4, (40, 3)).astype(float)
    for source in (OneHotEncoder(handle_unknown="ignore").fit(X), KBinsDiscretizer(3).fit(X)):
        model = mr.compile(source)
        function = model.row_function("transform")
        for row in [*X[:6], X[0] + 0.5]:
            function(row)
            got: Any = function(row)
            expected: Any = source.transform(row[None, :])
            assert type(got) is type(expected)
            assert got.indices.tolist() == expected.indices.tolist()
            assert not difference(expected, got)
