"""Every kind of source gives the same rows; filters, columns, starts; clear errors."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from millrace.data import CsvOptions, scan
from millrace.errors import FileInputError, MissingColumnsError

duckdb = pytest.importorskip("duckdb")

N = 1_000
FRAME = pd.DataFrame(
    {
        "ratio": np.where(np.arange(N) % 11 == 0, np.nan, np.arange(N) / 8),
        "count": np.arange(N),
        "word": [None if i % 13 == 0 else f'w{i % 7}, "{i % 3}"' for i in range(N)],
        "flag": np.arange(N) % 2 == 0,
    }
)


def written(kind, folder):
    """The frame as another library writes or holds it."""
    path = folder / f"rows.{kind}"
    match kind:
        case "csv" | "csv.gz":
            FRAME.to_csv(path, index=False)
        case "jsonl" | "ndjson.gz":
            FRAME.to_json(path, orient="records", lines=True)
        case "csv.zst" | "jsonl.zst":
            text = FRAME.to_csv(index=False)
            if kind == "jsonl.zst":
                text = FRAME.to_json(orient="records", lines=True)
            with pa.CompressedOutputStream(str(path), "zstd") as stream:
                stream.write(text.encode())
        case "parquet":
            pl.from_pandas(FRAME).write_parquet(path, row_group_size=100)
        case "feather":
            FRAME.to_feather(path)
        case "arrow":
            pl.from_pandas(FRAME).write_ipc(path)
        case "duckdb parquet":
            path = folder / "rows.parquet"
            duckdb.connect().from_df(FRAME).write_parquet(str(path))
        case "glob":
            for i in range(0, N, 300):
                FRAME[i : i + 300].to_parquet(folder / f"part-{i:04}.parquet")
            path = str(folder / "part-*.parquet")
    return path


MADE = {
    "pandas": lambda folder: FRAME,
    "pandas, Arrow types": lambda folder: FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda folder: pl.from_pandas(FRAME),
    "polars lazy": lambda folder: pl.from_pandas(FRAME).lazy(),
    "polars scan": lambda folder: pl.scan_parquet(written("parquet", folder)),
    "pyarrow table": lambda folder: pa.Table.from_pandas(FRAME),
    "pyarrow batch": lambda folder: pa.RecordBatch.from_pandas(FRAME),
    "pyarrow reader": lambda folder: pa.Table.from_pandas(FRAME).to_reader(70),
    "pyarrow dataset": lambda folder: ds.dataset(written("parquet", folder)),
    "stream": lambda folder: Exporter(),
    "DuckDB": lambda folder: duckdb.connect().sql(f"from '{written('parquet', folder)}'"),
}
FILES = (
    "csv", "csv.gz", "csv.zst", "jsonl", "ndjson.gz", "jsonl.zst", "parquet", "feather", "arrow",
    "duckdb parquet", "glob",
)  # fmt: skip


class Exporter:
    """What any other library may be: it exports Arrow streams, as often as it is asked."""

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.Table.from_pandas(FRAME).__arrow_c_stream__(requested_schema)


@pytest.fixture(params=[*FILES, *MADE])
def source(request, tmp_path):
    if request.param in MADE:
        return MADE[request.param](tmp_path)
    return written(request.param, tmp_path)


def whole(table, columns=None, **options):
    batches = list(table.batches(columns, **options))
    return pa.Table.from_batches(batches).to_pydict() if batches else {}


def expected(frame=FRAME):
    """Missing values are None, also where a source keeps NaN."""
    return frame.astype(object).where(frame.notna(), None).to_dict("list")


def same(found, frame=FRAME):
    cleaned = {
        name: [None if isinstance(v, float) and v != v else v for v in values]
        for name, values in found.items()
    }
    return cleaned == expected(frame)


# --- every source -------------------------------------------------------------------------------


def test_every_source_gives_the_same_rows_and_types(source):
    table = scan(source)
    assert [str(t) for t in table.schema.types] == ["double", "int64", "string", "bool"]
    assert table.n_rows in (N, None)
    assert table.named
    assert table.matrix is None
    assert same(whole(table))
    assert same(whole(table)), "it can be read again"


def test_batches_are_cut_at_multiples_of_rows(source):
    assert [b.num_rows for b in scan(source).batches(rows=300)] == [300, 300, 300, 100]


@pytest.mark.parametrize("start", [128, 640, 896])
def test_reading_begins_at_a_row(source, start):
    found = whole(scan(source), ["word", "count"], rows=128, start=start)
    assert list(found) == ["word", "count"]
    assert found["count"] == list(range(start, N))


def test_rows_and_columns_can_be_chosen(source):
    table = scan(
        source, columns=["word", "ratio"], where=[("count", "<", 500), ("flag", "==", True)]
    )
    kept = FRAME[(FRAME["count"] < 500) & FRAME["flag"]][["word", "ratio"]]
    assert table.schema.names == ["word", "ratio"]
    assert table.n_rows is None
    assert same(whole(table), kept)
    assert same(whole(table, rows=100, start=100), kept[100:])


def test_an_expression_chooses_rows(source):
    condition = ds.field("count").isin([3, 8, 900])
    assert whole(scan(source, where=condition), ["count"]) == {"count": [3, 8, 900]}


# --- what each knows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "value", "kept"),
    [
        ("=", 3, [3]),
        ("!=", 3, [1, 5]),
        ("<=", 3, [1, 3]),
        (">", 3, [5]),
        ("in", [1, 5], [1, 5]),
        ("not in", [1], [3, 5]),
    ],
)
def test_operators_drop_nulls_alike_in_every_engine(op, value, kept):
    rows = pa.table({"a": [1, None, 3, 5]})
    where = ("a", op, value)
    lazy = pl.from_arrow(rows).lazy()
    for source in (rows, lazy, duckdb.connect().from_arrow(rows)):
        assert whole(scan(source, where=where)) == {"a": kept}


def test_a_filter_skips_row_groups(tmp_path):
    path = tmp_path / "rows.parquet"
    columns = {"a": list(range(1_000)), "b": list(range(1_000))}
    pq.write_table(pa.table(columns), path, row_group_size=100, use_dictionary=False)
    content = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(5).column(1)
    begin = chunk.data_page_offset
    content[begin : begin + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    table = scan(path)
    assert whole(scan(table, where=("a", ">=", 900)))["b"] == list(range(900, 1000))
    assert table.n_rows == 1000, "the table that it was made from keeps its rows"
    assert whole(table, rows=100, start=600)["b"] == list(range(600, 1000)), "a start skips too"
    with pytest.raises(FileInputError, match=r"rows\.parquet"):
        whole(table)


def test_folders_with_keys_become_columns(tmp_path):
    frame = FRAME.assign(year=np.arange(N) % 3 + 2000, kind=np.where(FRAME["flag"], "a b", "c"))
    frame.to_parquet(tmp_path / "rows", partition_cols=["year", "kind"])
    table = scan(tmp_path / "rows")
    assert table.n_rows == N
    assert [str(table.schema.field(c).type) for c in ("year", "kind")] == ["int64", "string"]
    found = pa.Table.from_batches(table.batches()).to_pandas().sort_values("count")
    assert (found["year"].to_numpy() == frame["year"]).all()
    assert (found["kind"].to_numpy() == frame["kind"]).all()
    chosen = scan(tmp_path / "rows", where=[("year", "==", 2001), ("kind", "==", "c")])
    assert len(chosen._source._source._readers) == 1, "other folders are not opened"
    rows = frame[(frame["year"] == 2001) & (frame["kind"] == "c")]
    assert sorted(whole(chosen, ["count"])["count"]) == rows["count"].tolist()


def test_numbers_of_several_files_get_a_type_that_holds_both(tmp_path):
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "0.parquet")
    pd.DataFrame({"a": [1.5, np.nan]}).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"a": [3, 4]}).to_csv(tmp_path / "2.csv", index=False)
    table = scan(tmp_path)
    assert table.schema.field("a").type == pa.float64()
    assert whole(table)["a"] == [1.0, 2.0, 1.5, None, 3.0, 4.0]


def test_categories_stay_dictionaries():
    values = pd.Categorical(["b", None, "a", "b"], categories=["b", "a", "unused"], ordered=True)
    (batch,) = scan(pd.DataFrame({"c": values})).batches()
    assert str(batch.schema.types[0]) == "dictionary<values=string, indices=int32, ordered=1>"
    assert batch["c"].dictionary.to_pylist() == ["b", "a", "unused"]
    assert batch["c"].to_pylist() == ["b", None, "a", "b"]


def test_categories_of_row_groups_and_files_are_joined(tmp_path):
    words = [f"w{i % 7}" for i in range(100)]
    pd.DataFrame({"c": pd.Categorical(words)}).to_parquet(tmp_path / "0.parquet", row_group_size=9)
    pl.DataFrame({"c": words}, schema={"c": pl.Categorical}).write_parquet(tmp_path / "1.parquet")
    table = scan(tmp_path)
    assert pa.types.is_dictionary(table.schema.field("c").type)
    assert whole(table, rows=60)["c"] == words * 2
    assert whole(table, rows=60, start=120)["c"] == (words * 2)[120:]
    pd.DataFrame({"c": words}).to_parquet(tmp_path / "2.parquet")
    assert scan(tmp_path).schema.field("c").type == pa.string()
    assert whole(scan(tmp_path), rows=60)["c"] == words * 3


def test_a_pattern_takes_keys_from_where_it_begins(tmp_path):
    folder = tmp_path / "run=7" / "year=2001"
    folder.mkdir(parents=True)
    FRAME.to_parquet(folder / "rows.parquet")
    assert scan(tmp_path / "run=7" / "*" / "*.parquet").schema.names == [*FRAME, "year"]
    assert scan(folder / "rows.parquet").schema.names == [*FRAME]


def test_errors_of_other_engines_are_told():
    lazy = pl.LazyFrame({"a": ["1", "x"]}).select(pl.col("a").cast(pl.Int64))
    query = duckdb.connect().sql("select cast(a as int) as a from (values ('1'), ('x')) t(a)")
    for source in (lazy, query):
        with pytest.raises(FileInputError, match=r"Cannot read a (polars|DuckDB) .*x"):
            whole(scan(source))


def test_no_row_meets_the_condition(tmp_path):
    FRAME.to_parquet(tmp_path / "rows.parquet")
    table = scan(tmp_path, where=("count", "<", 0))
    assert list(table.batches()) == []
    assert table.fraction_read() in (None, 0.0, 1.0)


def test_nan_of_floats_stays_and_of_objects_is_null():
    frame = pd.DataFrame({"f": [1.0, np.nan], "o": np.array(["x", np.nan], object)})
    (batch,) = scan(frame).batches()
    assert batch["f"].null_count == 0
    assert np.isnan(batch["f"][1].as_py())
    assert batch["o"].to_pylist() == ["x", None]


def test_numbers_in_memory_are_not_copied():
    numbers = np.arange(100.0)
    for source in (pd.DataFrame({"a": numbers}, copy=False), pa.table({"a": numbers})):
        (batch,) = scan(source).batches()
        assert np.shares_memory(batch["a"].to_numpy(), numbers)


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "bool"])
def test_types_of_pandas_are_kept(dtype):
    table = scan(pd.DataFrame({"a": np.array([0, 1], dtype)}))
    assert table.schema.field("a").type == pa.from_numpy_dtype(np.dtype(dtype))


# --- matrices -----------------------------------------------------------------------------------


def test_a_matrix_is_the_table_itself(tmp_path):
    X = np.arange(12, dtype=np.float32).reshape(4, 3)
    table = scan(X)
    assert table.matrix is X
    assert (table.named, table.in_memory, table.n_rows) == (False, True, 4)
    assert table.schema == pa.schema([(f"x{i}", pa.float32()) for i in range(3)])
    assert whole(table, ["x2"], rows=2, start=2) == {"x2": [8.0, 11.0]}
    assert np.shares_memory(scan(X, columns=[1, 2]).matrix, X)
    assert (scan(X, columns=["x2", "x0"]).matrix == X[:, [2, 0]]).all()
    np.save(tmp_path / "X.npy", X)
    mapped = scan(tmp_path / "X.npy")
    assert isinstance(mapped.matrix, np.memmap)
    assert whole(mapped) == whole(table)


def test_a_sparse_matrix_becomes_rows():
    X = sp.random(20, 4, 0.5, "csc", random_state=0)
    table = scan(X)
    assert table.matrix.format == "csr"
    assert np.array_equal(np.column_stack(list(whole(table, rows=7).values())), X.toarray())


def test_lists_of_rows_and_of_mappings():
    assert scan([[1, 2], [3, 4]]).matrix.tolist() == [[1, 2], [3, 4]]
    assert whole(scan([{"a": 1, "b": "x"}, {"a": 2, "b": None}])) == {"a": [1, 2], "b": ["x", None]}


# --- once ---------------------------------------------------------------------------------------


def test_the_first_rows_of_a_stream_do_not_use_it_up():
    big = pa.table({"a": np.zeros(4_000_000)})
    table = scan(big.to_reader(100_000))
    batches = table.batches(rows=200)
    assert next(batches).num_rows == 200
    batches.close()
    assert sum(b.num_rows for b in table.batches()) == 4_000_000
    with pytest.raises(FileInputError, match=r"can be read only once"):
        next(table.batches())


def test_a_stream_that_can_be_had_again_is_read_again():
    class Big:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"a": np.zeros(4_000_000)}).__arrow_c_stream__(requested_schema)

    table = scan(Big())
    assert [sum(b.num_rows for b in table.batches()) for _ in range(2)] == [4_000_000] * 2


# --- fingerprints -------------------------------------------------------------------------------


def test_identity_follows_the_data(tmp_path):
    path = written("csv", tmp_path)
    first = scan(path).identity()
    assert scan(path).identity() == first
    assert scan(path, columns=["word"]).identity() != first
    assert scan(path, where=("count", ">", 3)).identity() != first
    os.utime(path, ns=(1, 1))
    assert scan(path).identity() != first
    changed = FRAME.copy()
    changed.loc[N - 1, "ratio"] = -1.0
    assert scan(FRAME).identity() == scan(FRAME.copy()).identity() != scan(changed).identity()
    X = np.arange(6.0).reshape(3, 2)
    assert scan(X).identity() == scan(X.copy()).identity() != scan(X + 1).identity()


def test_the_size_of_a_row_is_about_right(tmp_path):
    assert scan(np.zeros((5, 7))).nbytes_of_row() == 56
    assert 30 <= scan(FRAME).nbytes_of_row() <= 200
    assert 30 <= scan(written("parquet", tmp_path)).nbytes_of_row() <= 200


# --- errors -------------------------------------------------------------------------------------


def test_nothing_there(tmp_path):
    with pytest.raises(FileInputError, match=r"no file matches this pattern"):
        scan(str(tmp_path / "*.csv"))
    with pytest.raises(FileInputError, match=r"this folder has no table file.*'\.jsonl'"):
        scan(tmp_path)
    with pytest.raises(FileInputError, match=r"there is no such file"):
        scan(tmp_path / "absent.parquet")
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    with pytest.raises(FileInputError, match=r"Expected one of '\.csv'"):
        scan(tmp_path / "rows.xlsx")


def test_files_with_other_columns(tmp_path):
    pd.DataFrame({"age": [1], "income": [2]}).to_csv(tmp_path / "0.csv", index=False)
    pd.DataFrame({"age": [1], "incom": [2]}).to_csv(tmp_path / "1.csv", index=False)
    with pytest.raises(FileInputError, match=r"1\.csv .* lacks 'income' .did you mean 'incom'"):
        scan(tmp_path / "*.csv")


def test_files_with_other_types(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "0.parquet")
    pd.DataFrame({"a": ["x"]}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(
        FileInputError, match=r"'a' is string in .*1\.parquet.* but int64 in .*0\.par"
    ):
        scan(tmp_path)


def test_a_number_that_the_common_type_cannot_hold(tmp_path):
    pd.DataFrame({"a": [0.5]}).to_parquet(tmp_path / "0.parquet")
    pd.DataFrame({"a": [1, 2**53 + 1]}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(FileInputError, match=r"1\.parquet: column 'a'.*row 1 .*9007199254740993"):
        whole(scan(tmp_path))


def test_which_of_many_files_is_damaged(tmp_path):
    for i in range(3):
        FRAME.to_parquet(tmp_path / f"{i}.parquet")
    (tmp_path / "1.parquet").write_bytes((tmp_path / "1.parquet").read_bytes()[:-9])
    with pytest.raises(FileInputError, match=r"1\.parquet"):
        scan(tmp_path)


def test_a_truncated_gzip_is_named(tmp_path):
    path = tmp_path / "rows.csv.gz"
    rng = np.random.default_rng(0)
    text = "a\n" + "".join(f"{v}\n" for v in rng.random(200_000))
    path.write_bytes(gzip.compress(text.encode())[:-1000])
    with pytest.raises(FileInputError, match=r"rows\.csv\.gz"):
        whole(scan(path))


def test_a_mixed_column_of_objects():
    frame = pd.DataFrame({"a": np.array(["x", None, 3], object)})
    with pytest.raises(
        FileInputError, match=r"'a' of a pandas frame.*row 2 holds 3 \(int\).*are str"
    ):
        scan(frame)


def test_what_is_no_table():
    with pytest.raises(FileInputError, match=r"pass X.reshape\(-1, 1\)"):
        scan(np.zeros(3))
    with pytest.raises(FileInputError, match=r"rows differ in length"):
        scan([[1, 2], [3]])
    with pytest.raises(FileInputError, match=r"it is no table"):
        scan(object())
    with pytest.raises(FileInputError, match=r"pass connection=duckdb.connect"):
        scan("select * from flights")


def test_sql_text_needs_a_connection_that_knows_its_tables():
    connection = duckdb.connect()
    connection.sql("create table t as select range as i, range / 2 as h from range(10)")
    table = scan("select * from t where i > 6 order by i", connection=connection)
    assert whole(table) == {"i": [7, 8, 9], "h": [3.5, 4.0, 4.5]}
    with pytest.raises(FileInputError, match=r"absent"):
        scan("select * from absent", connection=connection)


def test_a_condition_that_means_nothing():
    with pytest.raises(MissingColumnsError, match=r"'cuont' .did you mean 'count'"):
        scan(FRAME, where=("cuont", ">", 1))
    with pytest.raises(FileInputError, match=r"'~' is no operator"):
        scan(FRAME, where=("count", "~", 1))
    with pytest.raises(FileInputError, match=r"where"):
        scan(FRAME, where=("count", ">", "x"))
    with pytest.raises(FileInputError, match=r"choose rows of the array itself"):
        scan(np.zeros((2, 2)), where=("x0", ">", 0))


def test_a_start_is_a_multiple_of_rows():
    with pytest.raises(ValueError, match="multiple"):
        scan(FRAME).batches(rows=64, start=10)


def test_options_of_csv_hold_for_all_files(tmp_path):
    for name in ("0.csv", "1.csv"):
        (tmp_path / name).write_text("zip;n\n00123;?\n")
    options = CsvOptions(delimiter=";", missing=("?",), types={"zip": pa.string()})
    found = whole(scan(tmp_path, csv=options))
    assert found == {"zip": ["00123", "00123"], "n": [None, None]}
