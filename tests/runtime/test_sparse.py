"""Sparse rows: every container, loaded models, later steps that need dense rows, and errors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

import millrace as mr
from millrace.errors import (
    ColumnTypeError,
    ExtraColumnsError,
    InputError,
    MissingColumnsError,
    NonFiniteError,
    ShapeError,
    SparseInputError,
)
from tests.conformance.compare import difference

NEAR = (64.0, 1e-14)
"""Sums of at most 12 products of numbers below 4, in whatever order a sparse product takes."""


@cache
def block(n_rows: int = 60, width: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = np.abs(rng.normal(size=(n_rows, width)).round(2))
    X[rng.random(X.shape) < 0.7] = 0.0
    return X


def labels() -> np.ndarray:
    return (block()[:, :4].sum(1) > block()[:, 4:8].sum(1)).astype(int)


def frame(dtype: Any = float) -> pd.DataFrame:
    names = [f"c{i}" for i in range(12)]
    return pd.DataFrame(block(), columns=names).astype(pd.SparseDtype(dtype, 0))


CONTAINERS = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "coo": sp.coo_matrix,
    "lil": sp.lil_matrix,
    "dok": sp.dok_matrix,
    "bsr": sp.bsr_matrix,
    "dia": sp.dia_matrix,
    "csr array": sp.csr_array,
    "csc array": sp.csc_array,
    "coo array": sp.coo_array,
    "float32": lambda x: sp.csr_matrix(x.astype(np.float32)),
    "int8": lambda x: sp.csr_matrix(x.astype(np.int8)),
    "bool": lambda x: sp.csr_matrix(x.astype(bool)),
    "pandas": lambda x: pd.DataFrame.sparse.from_spmatrix(sp.csr_matrix(x)),
    "pandas, of another kind": lambda x: pd.DataFrame(x).astype(pd.SparseDtype("float32", 0)),
}


@cache
def models() -> dict[str, tuple[Any, mr.CompiledModel]]:
    X, y = sp.csr_matrix(block()), labels()
    fitted = {
        "linear": make_pipeline(MaxAbsScaler(), LogisticRegression()),
        "bayes": MultinomialNB(),
        "forest": RandomForestClassifier(4, max_depth=4, random_state=0),
        "scaler": MaxAbsScaler(),
        "foreign": make_pipeline(FunctionTransformer(_doubled), LogisticRegression()),
        "svd": make_pipeline(TruncatedSVD(3, random_state=0), StandardScaler(), GaussianNB()),
    }
    return {n: (f.fit(X, y), mr.compile(f)) for n, f in fitted.items()}


def _doubled(X: Any) -> Any:
    return X * 2


def method_of(source: Any) -> str:
    return "predict_proba" if hasattr(source, "predict_proba") else "transform"


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", ["linear", "bayes", "forest", "scaler", "foreign", "svd"])
def test_every_container(name: str, kind: str) -> None:
    source, compiled = models()[name]
    rows = CONTAINERS[kind](block())
    expected = getattr(source, method_of(source))(rows)
    got = getattr(compiled, method_of(source))(rows)
    if hasattr(expected, "tocsr"):
        assert type(got) is type(expected.tocsr())
        expected = expected.tocsr()
    bound = NEAR if name in ("linear", "bayes", "foreign", "svd") else (0.0, 0.0)
    assert not difference(expected, got, *bound)


@pytest.mark.parametrize("name", ["linear", "bayes", "forest", "scaler", "svd"])
@pytest.mark.parametrize("kind", ["csr", "coo", "csr array", "pandas"])
def test_a_loaded_model(name: str, kind: str, tmp_path: Path) -> None:
    compiled = models()[name][1]
    loaded = mr.load(compiled.save(tmp_path / "model.mill"))
    rows = CONTAINERS[kind](block())
    expected = getattr(compiled, method_of(compiled))(rows)
    got = getattr(loaded, method_of(compiled))(rows)
    assert type(got) is type(expected)
    assert not difference(expected, got)


def test_repeated_and_unsorted_cells() -> None:
    """COO keeps several numbers for one cell: they are added; CSR columns may be in any order."""
    source, compiled = models()["linear"]
    cells = ([0.5, 0.25, 1.0, 2.0], ([0, 0, 0, 1], [3, 3, 1, 0]))
    rows = sp.coo_matrix(cells, shape=(2, 12))
    assert not difference(source.predict_proba(rows), compiled.predict_proba(rows), *NEAR)
    unsorted = sp.csr_matrix(([1.0, 0.5], [5, 2], [0, 2]), shape=(1, 12))
    before = unsorted.indices.copy()
    assert not difference(source.predict_proba(unsorted), compiled.predict_proba(unsorted), *NEAR)
    assert np.array_equal(unsorted.indices, before)  # the caller's matrix stays as it was


def test_the_original_is_not_changed() -> None:
    rows = sp.csr_matrix(block())
    before = rows.copy()
    for _, compiled in models().values():
        getattr(compiled, method_of(compiled))(rows)
    assert not difference(before, rows)


def test_no_rows() -> None:
    assert models()["linear"][1].predict_proba(sp.csr_matrix((0, 12))).shape == (0, 2)
    assert models()["scaler"][1].transform(sp.csr_array((0, 12))).shape == (0, 12)


def test_one_sparse_row() -> None:
    source, compiled = models()["linear"]
    row = sp.csr_matrix(block())[3]
    assert compiled.predict_one(row) == source.predict(row)[0]


# -- names -----------------------------------------------------------------------------------------
def test_sparse_frames_are_matched_by_name() -> None:
    source = LogisticRegression().fit(frame(), labels())
    compiled = mr.compile(source)
    expected = source.predict_proba(frame())
    assert not difference(expected, compiled.predict_proba(frame()), *NEAR)
    backwards = frame()[frame().columns[::-1]]
    assert not difference(expected, compiled.predict_proba(backwards), *NEAR)
    with pytest.raises(MissingColumnsError, match=r"'c3' \(did you mean"):
        compiled.predict(frame().rename(columns={"c3": "c_3"}))
    with pytest.raises(ExtraColumnsError, match="'more'"):
        compiled.predict(frame().assign(more=frame().c0))


def test_a_column_transformer_of_a_sparse_frame() -> None:
    picked = (MaxAbsScaler(), ["c0", "c5"]), (StandardScaler(with_mean=False), ["c2"])
    source = make_pipeline(make_column_transformer(*picked), LogisticRegression())
    source.fit(frame(), labels())
    compiled = mr.compile(source)
    for rows in (frame(), frame()[["c5", "c2", "c0"]], frame().assign(more=frame().c0)):
        assert not difference(source.predict_proba(frame()), compiled.predict_proba(rows), *NEAR)


@pytest.mark.parametrize(
    "encoder",
    [OneHotEncoder(), OrdinalEncoder(), make_pipeline(OneHotEncoder(), MaxAbsScaler())],
    ids=["one-hot", "ordinal", "pipeline"],
)
def test_encoders_read_sparse_frames_column_by_column(encoder: Any, tmp_path: Path) -> None:
    rows = pd.DataFrame(block().round()).astype(pd.SparseDtype(float, 0))
    compiled = mr.compile(encoder.fit(rows))
    loaded = mr.load(compiled.save(tmp_path / "model.mill"))
    for model in (compiled, loaded):
        assert not difference(encoder.transform(rows), model.transform(rows))
        with pytest.raises(SparseInputError):
            model.transform(sp.csr_matrix(block().round()))


@pytest.mark.filterwarnings("ignore:pandas.DataFrame with sparse columns found")
def test_sparse_columns_among_dense_ones() -> None:
    dense = pd.DataFrame(block(), columns=frame().columns)
    source = LogisticRegression().fit(dense, labels())
    mixed = dense.astype({"c1": pd.SparseDtype(float, 0)})
    compiled = mr.compile(source)
    assert not difference(source.predict_proba(mixed), compiled.predict_proba(mixed), *NEAR)


def test_a_fill_value_that_is_not_zero() -> None:
    filled = frame().astype(pd.SparseDtype(float, np.nan))
    with pytest.raises(ColumnTypeError, match=r"'c0', whose absent cells are not zeros"):
        mr.compile(LogisticRegression().fit(frame(), labels())).predict(filled)


# -- dense steps behind sparse ones ----------------------------------------------------------------
def reduced() -> Any:
    return make_pipeline(TruncatedSVD(3, random_state=0), GaussianNB())


@pytest.mark.parametrize(
    "make",
    [
        reduced,
        lambda: GridSearchCV(reduced(), {"truncatedsvd__n_components": [2]}, cv=2),
        lambda: VotingClassifier([("a", reduced()), ("b", MultinomialNB())], voting="soft"),
        lambda: make_pipeline(
            make_union(
                make_pipeline(TruncatedSVD(2, random_state=0), StandardScaler()), MaxAbsScaler()
            ),
            LogisticRegression(),
        ),
    ],
    ids=["pipeline", "search", "voting", "union"],
)
def test_a_later_step_may_need_dense_rows(make: Any) -> None:
    """A pipeline's own tags say that it takes no sparse rows, yet its methods take them."""
    rows = sp.csr_matrix(block())
    source = make().fit(rows, labels())
    compiled = mr.compile(source)
    assert not difference(source.predict_proba(rows), compiled.predict_proba(rows), *NEAR)
    steps = compiled.view("csr_matrix").info.steps
    assert [s for s in steps if s[2] != "native"] == []


def test_tags_that_say_no_where_the_method_answers() -> None:
    """RobustScaler does not centre sparse rows, whatever it was fitted with."""
    source = RobustScaler().fit(block())
    rows = sp.csr_matrix(block())
    assert not difference(source.transform(rows), mr.compile(source).transform(rows))


# -- samples ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", ["linear", "foreign"])
def test_verified_on_a_sparse_sample(name: str, kind: str) -> None:
    report = mr.compile(models()[name][0], sample=CONTAINERS[kind](block())).info.verification
    assert report is not None
    assert report["rows"]["sample"] == 60
    assert report["differences"] == []


# -- errors ----------------------------------------------------------------------------------------
def test_a_step_that_needs_dense_rows_is_named() -> None:
    X, y = block(), labels()
    centred = make_pipeline(MaxAbsScaler(), StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(SparseInputError) as caught:
        mr.compile(centred).predict(sp.csr_matrix(X))
    message = str(caught.value)
    assert "step 'standardscaler' (sklearn.preprocessing.StandardScaler)" in message
    assert "Cannot center sparse matrices" in message
    assert "60 x 12 cells would take 5.625 KiB as float64" in message
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("shape", [(2_000_000, 300), (5, 300_000)])
def test_the_size_that_it_would_take(shape: tuple[int, int]) -> None:
    error = SparseInputError.needs_dense("a", "b", "why").for_rows(shape)
    size = {"(2000000, 300)": "4.47 GiB", "(5, 300000)": "11.44 MiB"}[str(shape)]
    assert size in str(error)


def test_a_source_that_refuses_sparse_rows(tmp_path: Path) -> None:
    source = HistGradientBoostingClassifier(max_iter=2).fit(block(), labels())
    compiled = mr.compile(source)
    loaded = mr.load(compiled.save(tmp_path / "model.mill"))
    for rows in (sp.csr_matrix(block()), sp.coo_array(block()), sp.coo_array(block()[0]), frame()):
        for model in (compiled, loaded):
            with pytest.raises(SparseInputError, match=r"sparse matrix.*toarray"):
                model.predict(rows)


@pytest.mark.parametrize("name", ["linear", "scaler", "foreign"])
def test_wrong_width_and_dimensions(name: str) -> None:
    compiled = models()[name][1]
    answer = getattr(compiled, method_of(compiled))
    for kind in ("csr", "coo array", "pandas"):
        with pytest.raises(ShapeError, match=r"has 11 column.*fitted on 12"):
            answer(CONTAINERS[kind](block()[:, :11]))
    with pytest.raises(ShapeError, match="has 1 dimension"):
        answer(sp.coo_array(block()[0]))
    with pytest.raises(ColumnTypeError, match="complex128"):
        answer(sp.csr_matrix(block().astype(complex)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_cells_where_the_source_refuses_them(value: float) -> None:
    bad = sp.csr_matrix(block())
    bad[41, 3] = value
    with pytest.raises(NonFiniteError, match="row 41"):
        mr.compile(LogisticRegression().fit(block(), labels())).predict(bad)


def test_a_method_without_a_program_for_sparse_rows() -> None:
    from sklearn.decomposition import PCA

    source = PCA(2).fit(block())
    compiled = mr.compile(source)
    assert compiled.transform(sp.csr_matrix(block())).shape == (60, 2)
    with pytest.raises(InputError, match=r"score_samples of sklearn\.decomposition\.PCA"):
        compiled.score_samples(sp.csr_matrix(block()))


# -- the way back ----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array], ids=["matrix", "array"])
def test_the_inverse_of_sparse_rows(kind: Any, tmp_path: Path) -> None:
    for source in (MaxAbsScaler(), StandardScaler(with_mean=False)):
        source.fit(block())
        compiled = mr.compile(source)
        loaded = mr.load(compiled.save(tmp_path / "model.mill"))
        rows = source.transform(kind(block()))
        expected = source.inverse_transform(rows.copy())
        for model in (compiled, loaded):
            got = model.inverse_transform(rows)
            assert type(got) is type(expected)
            assert not difference(expected, got)


def test_the_inverse_of_one_hot_rows() -> None:
    words = np.array([["a"], ["b"], ["a"]], dtype=object)
    source = OneHotEncoder().fit(words)
    compiled = mr.compile(source)
    for rows in (source.transform(words), source.transform(words).toarray()):
        assert np.array_equal(compiled.inverse_transform(rows), words)
