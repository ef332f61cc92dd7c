"""Rows that a model cannot take get an error that says which column, what was seen and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from millrace.errors import (
    ColumnTypeError,
    ExtraColumnsError,
    InputError,
    MethodMissingError,
    MissingColumnsError,
    NonFiniteError,
    ShapeError,
    SparseInputError,
    UnknownCategoryError,
)
from tests.conformance.compare import difference
from tests.runtime.models import boosted, matrix, model, ordinals, people, pipeline, strict_frame

FRAMES = {
    "pandas": lambda f: f,
    "polars": lambda f: pl.from_pandas(f),
    "pyarrow": lambda f: pa.Table.from_pandas(f, preserve_index=False),
    "dicts": lambda f: f.to_dict("records"),
    "columns": lambda f: {c: f[c].to_numpy() for c in f},
}


@pytest.fixture(params=FRAMES)
def container(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param]


# -- columns ---------------------------------------------------------------------------------------
def test_a_missing_column_is_named_with_the_nearest(container: Any) -> None:
    rows = container(people(6).rename(columns={"hours": "hour"}))
    with pytest.raises(MissingColumnsError) as caught:
        model(pipeline).predict(rows)
    message = str(caught.value)
    assert "'hours' (did you mean 'hour'?)" in message
    assert "'age', 'hour', 'work'" in message
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, ValueError)


def test_all_missing_columns_are_named() -> None:
    with pytest.raises(MissingColumnsError, match="lacks 2 column") as caught:
        model(pipeline).predict(people(6)[["id", "work"]])
    assert "'age'" in str(caught.value)
    assert "'hours'" in str(caught.value)


def test_a_column_that_nothing_reads_may_be_missing(container: Any) -> None:
    frame = people(30)
    expected = pipeline().predict_proba(frame)
    assert model(pipeline).used_columns == ("age", "hours", "work")
    got = model(pipeline).predict_proba(container(frame.drop(columns="id")))
    assert not difference(expected, got)


def test_an_extra_column_is_refused_where_the_source_refuses_it(container: Any) -> None:
    frame = people(6)[["age", "hours"]].assign(hous=1.0)
    with pytest.raises(ExtraColumnsError) as caught:
        model(strict_frame).predict(container(frame))
    assert "'hous' (did you mean 'hours'?)" in str(caught.value)
    assert "feature_names_in_" in str(caught.value)


def test_an_extra_column_is_passed_over_where_the_source_does(container: Any) -> None:
    frame = people(30)
    got = model(pipeline).predict_proba(container(frame.assign(more="x")))
    assert not difference(pipeline().predict_proba(frame), got)


def test_columns_are_found_by_name(container: Any) -> None:
    frame = people(30)
    rows = container(frame[["work", "hours", "id", "age"]])
    assert not difference(pipeline().predict_proba(frame), model(pipeline).predict_proba(rows))
    rows = container(frame[["hours", "age"]])
    expected = strict_frame().predict_proba(frame[["age", "hours"]])
    assert not difference(expected, model(strict_frame).predict_proba(rows))


def test_names_that_are_not_text() -> None:
    frame = pd.DataFrame(matrix(6), columns=[0, 1, 2, 3])
    assert not difference(boosted().predict(matrix(6)), model(boosted).predict(frame))


# -- shapes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("width", [0, 1, 3, 5])
@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist, pd.DataFrame], ids=str)
def test_wrong_width(width: int, convert: Any) -> None:
    with pytest.raises(ShapeError, match=f"has {width} column.*fitted on 4"):
        model(boosted).predict(convert(np.zeros((3, width))))


@pytest.mark.parametrize("shape", [(4,), (), (2, 2, 4), (0,)])
def test_wrong_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=rf"has {len(shape)} dimension\(s\), expected 2"):
        model(boosted).predict(np.zeros(shape))


def test_a_flat_list_is_not_a_table() -> None:
    with pytest.raises(ShapeError, match="predict_one"):
        model(boosted).predict([0.0, 1.0, 2.0, 3.0])


def test_rows_of_different_lengths() -> None:
    with pytest.raises(InputError, match="different lengths"):
        model(boosted).predict([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0]])


def test_columns_of_different_lengths() -> None:
    with pytest.raises(InputError):
        model(strict_frame).predict({"age": np.zeros(3), "hours": np.zeros(2)})


def test_no_rows() -> None:
    assert model(boosted).predict_proba(np.empty((0, 4))).shape == (0, 3)
    answer = model(pipeline).predict(people(6).iloc[:0])
    assert answer.shape == (0,)
    assert answer.dtype.kind == "U"


@pytest.mark.parametrize(
    "rows",
    [
        pd.Series(np.zeros(4)),
        pl.Series(np.zeros(4)),
        pa.array(np.zeros(4)),
        pa.chunked_array([np.zeros(4)]),
        pd.Index([1, 2]),
    ],
    ids=lambda rows: f"{type(rows).__module__}.{type(rows).__name__}",
)
def test_a_series_is_not_a_table(rows: Any) -> None:
    with pytest.raises(ShapeError, match=r"has 1 dimension\(s\), expected 2"):
        model(boosted).predict(rows)


def test_columns_of_one_name() -> None:
    """Where names count they must differ; a model of plain rows reads by position."""
    rows = matrix(6)
    expected = boosted().predict_proba(rows)
    twice = pd.DataFrame(rows, columns=list("aabb"))
    assert not difference(expected, model(boosted).predict_proba(twice))
    frame = people(6)
    frame.columns = ["id", "age", "age", "work"]
    with pytest.raises(MissingColumnsError, match="'hours'"):
        model(pipeline).predict(frame)
    frame = pd.concat([people(6), people(6)[["hours"]]], axis=1)
    with pytest.raises(ShapeError, match=r"several columns of one name \('hours'\)"):
        model(pipeline).predict(frame)


class Exporter:
    """A table of another library, which has nothing but one of the protocols."""

    def __init__(self, table: Any, *protocols: str) -> None:
        self.table, self.protocols = table, protocols

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["protocols"]:
            return getattr(self.table, name)
        raise AttributeError(name)


@pytest.mark.parametrize(
    ("convert", "protocol"),
    [
        (pl.from_pandas, "__arrow_c_stream__"),
        (lambda f: pa.Table.from_pandas(f, preserve_index=False), "__arrow_c_stream__"),
        (lambda f: pa.RecordBatch.from_pandas(f, preserve_index=False), "__arrow_c_array__"),
        (lambda f: f.reset_index(drop=True), "__dataframe__"),
    ],
    ids=["polars stream", "Arrow stream", "Arrow array", "dataframe"],
)
@pytest.mark.filterwarnings("ignore:The DataFrame Interchange Protocol")
def test_protocols(convert: Any, protocol: str) -> None:
    frame = people(30)[["age", "hours"]]
    rows = Exporter(convert(frame), protocol)
    assert not difference(
        strict_frame().predict_proba(frame), model(strict_frame).predict_proba(rows)
    )


def test_an_export_that_is_no_table() -> None:
    with pytest.raises(ColumnTypeError, match="no table"):
        model(boosted).predict(Exporter(pa.chunked_array([[1.0]]), "__arrow_c_stream__"))


def test_datasets_and_readers(tmp_path: Any) -> None:
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(people(60), preserve_index=False)
    pq.write_table(table.slice(0, 25), tmp_path / "0.parquet")
    pq.write_table(table.slice(25), tmp_path / "1.parquet")
    expected = pipeline().predict_proba(people(60))
    dataset = ds.dataset(tmp_path)
    for rows in (dataset, dataset.scanner(), dataset.to_table().to_reader(), table.to_batches()[0]):
        assert not difference(expected, model(pipeline).predict_proba(rows))


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
@pytest.mark.parametrize("dictionary", [False, True])
def test_text_of_every_arrow_type(text: Any, dictionary: bool) -> None:
    frame = people(60)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    work = table["work"].cast(text)
    if dictionary:
        codes = pa.array(pd.Categorical(frame.work).codes, mask=frame.work.isna().to_numpy())
        words = pa.array(pd.Categorical(frame.work).categories.tolist()).cast(text)
        work = pa.DictionaryArray.from_arrays(codes, words)
    rows = table.set_column(table.schema.get_field_index("work"), "work", work)
    expected = pipeline().predict_proba(frame)
    assert not difference(expected, model(pipeline).predict_proba(rows))


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    rows = torch.tensor(matrix(20))
    expected = boosted().predict_proba(matrix(20))
    for tensor in (rows, rows.T.contiguous().T):
        assert not difference(expected, model(boosted).predict_proba(tensor))
    bad = [rows.clone().requires_grad_(), rows.bfloat16(), rows.to_sparse(), rows.to("meta")]
    for tensor in bad:
        with pytest.raises(ColumnTypeError, match=r"tensor that cannot be viewed.*detach\(\)"):
            model(boosted).predict(tensor)
    with pytest.raises(ShapeError, match="has 1 dimension"):
        model(boosted).predict(rows[0])


# -- kinds -----------------------------------------------------------------------------------------
def test_text_where_numbers_are_needed(container: Any) -> None:
    frame = people(9)
    frame["hours"] = frame["hours"].astype(object).astype(str)
    frame.loc[4, "hours"] = "forty"
    with pytest.raises(ColumnTypeError) as caught:
        model(pipeline).predict(container(frame))
    message = str(caught.value)
    assert "'hours'" in message
    assert "'forty'" in message
    assert "row 4" in message
    assert isinstance(caught.value, TypeError)


def test_text_in_a_late_block() -> None:
    """The row is counted from the first of the table, not of a block."""
    frame = people(9000)
    frame["hours"] = frame["hours"].astype(object)
    frame.loc[8765, "hours"] = "many"
    with pytest.raises(
        ColumnTypeError, match=r"'hours' must be numeric, but row 8765 holds 'many'"
    ):
        model(pipeline).predict(frame)


def test_text_in_an_array_of_objects() -> None:
    rows = matrix(5).astype(object)
    rows[3, 2] = "x"
    with pytest.raises(ColumnTypeError, match=r"'x2' must be numeric, but row 3 holds 'x' \(str\)"):
        model(boosted).predict(rows)


def test_text_in_an_array_of_text() -> None:
    with pytest.raises(ColumnTypeError, match="row 0 holds 'a'"):
        model(boosted).predict(np.array([["a", "b", "c", "d"]]))


@pytest.mark.parametrize("kind", ["datetime64[ns]", "timedelta64[s]", "complex128"])
def test_kinds_that_are_no_numbers(kind: str) -> None:
    frame = people(6)[["age", "hours"]].astype({"hours": int})
    with pytest.raises(ColumnTypeError, match="hours"):
        model(strict_frame).predict(frame.assign(hours=np.arange(6).astype(kind)))


@pytest.mark.parametrize(
    "kind", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array], ids=str
)
def test_sparse_rows_are_refused(kind: Any) -> None:
    with pytest.raises(SparseInputError, match=r"sparse matrix.*toarray.*4 x 4 cells"):
        model(boosted).predict(kind(np.eye(4)))


@pytest.mark.parametrize(
    "rows", [None, 7, "age,hours", object()], ids=["None", "7", "text", "object"]
)
def test_what_is_no_table(rows: Any) -> None:
    with pytest.raises(InputError):
        model(boosted).predict(rows)


def test_missing_cells_where_the_source_refuses_them() -> None:
    from sklearn.linear_model import Ridge

    import millrace as mr

    X = np.nan_to_num(matrix(60))
    ridge = mr.compile(Ridge().fit(X, X[:, 0]))
    for value in (np.nan, np.inf, -np.inf):
        bad = X.copy()
        bad[41, 3] = value
        with pytest.raises(NonFiniteError, match=rf"'x3' holds {value} in row 41, but Ridge"):
            ridge.predict(bad)


def test_an_unknown_category_where_the_encoder_refuses_it(container: Any) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    import millrace as mr

    frame = people(40)
    fitted = make_column_transformer((OneHotEncoder(), ["work"])).fit(frame)
    frame.loc[5, "work"] = "elsewhere"
    with pytest.raises(UnknownCategoryError) as caught:
        mr.compile(fitted).transform(container(frame))
    for part in ("'work'", "'elsewhere'", "row 5", "handle_unknown"):
        assert part in str(caught.value)


# -- methods ---------------------------------------------------------------------------------------
def test_a_method_that_the_source_has_not() -> None:
    for name in ("predict", "predict_proba", "apply", "classes_"):
        assert not hasattr(model(ordinals), name)
        with pytest.raises(MethodMissingError, match=f"no {name}; the source object offers"):
            getattr(model(ordinals), name)
    with pytest.raises(MethodMissingError, match="feature_names_in_"):
        model(boosted).feature_names_in_
    with pytest.raises(AttributeError):
        model(boosted).predict_one_by_one


def test_an_option_that_a_method_has_not() -> None:
    with pytest.raises(TypeError, match="raw_score"):
        model(boosted).predict(matrix(3), raw_score=True)


def test_missing_cells_among_the_words_of_a_mapping() -> None:
    """A list of words and NaN in a mapping is not turned into the word "nan"."""
    from sklearn.preprocessing import OrdinalEncoder

    import millrace as mr

    rows = pd.DataFrame({"job": pd.Series(["cook", "clerk", np.nan, "cook"], dtype=object)})
    fitted = OrdinalEncoder().fit(rows)
    got = mr.compile(fitted, verify=False).transform({"job": ["clerk", np.nan, "cook"]})
    np.testing.assert_array_equal(got, fitted.transform(rows.iloc[[1, 2, 0]]))
