"""Opening table files: every format, only the columns asked for, and clear errors."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.data import EXTENSIONS, CsvOptions, TableWriter, open_table
from millrace.data.table import rebatch
from millrace.errors import FileInputError, MissingColumnsError

ROWS = pa.record_batch(
    {
        "number": pa.array([1, 2, None, 2**60]),
        "ratio": [0.1, 1 / 3, None, 1e-300],
        "word": ["a,b", "tab\there", None, 'quote " and\nline'],
        "flag": [True, None, False, True],
    }
)


def written(folder, extension, batch=ROWS, times=1):
    path = folder / f"rows{extension}"
    with TableWriter(path, batch.schema) as writer:
        for _ in range(times):
            writer.write(batch)
    return path


def text(folder, content, name="rows.csv"):
    path = folder / name
    path.write_text(content)
    return path


def whole(table, columns=None):
    return pa.Table.from_batches(table.batches(columns)).to_pydict()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_format_gives_back_what_was_written(tmp_path, extension):
    table = open_table(written(tmp_path, extension))
    assert table.schema.equals(ROWS.schema)
    assert whole(table) == ROWS.to_pydict()
    assert whole(table) == ROWS.to_pydict(), "a table can be read again"


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_columns_come_in_the_order_asked_for(tmp_path, extension):
    (batch,) = open_table(written(tmp_path, extension)).batches(["word", "number"])
    assert batch.schema.names == ["word", "number"]
    assert batch.to_pydict() == ROWS.select(["word", "number"]).to_pydict()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_batches_have_the_asked_size_and_reading_ends_at_one(tmp_path, extension):
    table = open_table(written(tmp_path, extension, times=5))
    assert [b.num_rows for b in table.batches(rows=7)] == [7, 7, 6]
    assert table.fraction_read() == 1.0
    assert table.n_rows == (20 if table.n_rows is not None else None)


@pytest.mark.parametrize("extension", [".parquet", ".arrow"])
def test_binary_formats_know_their_rows(tmp_path, extension):
    assert open_table(written(tmp_path, extension, times=3)).n_rows == 12


def test_an_arrow_stream_is_read_too(tmp_path):
    path = tmp_path / "rows.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, ROWS.schema) as stream:
        stream.write_batch(ROWS)
    assert whole(open_table(path), ["ratio"]) == {"ratio": ROWS["ratio"].to_pylist()}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 10))
def test_rebatching_changes_no_row(sizes, rows):
    numbers = pa.record_batch({"i": list(range(sum(sizes)))})
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    parts = [numbers.slice(a, n) for a, n in zip(starts, sizes, strict=True)]
    made = list(rebatch(parts, rows))
    assert [i for b in made for i in b["i"].to_pylist()] == list(range(sum(sizes)))
    assert all(b.num_rows == rows for b in made[:-1])
    assert all(0 < b.num_rows <= rows for b in made)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12), st.integers(1, 30))
def test_rebatching_keeps_types_and_missing_cells(parts, rows):
    """Numbers that are whole are copied another way than others: any order of both gives the same."""
    schema = pa.schema([("a", pa.float32()), ("b", pa.int64()), ("c", pa.uint8())])
    batches = []
    for size, gaps in parts:
        cells = [None if gaps and i % 3 == 1 else i for i in range(size + 2)]
        columns = [pa.array(cells, t) for t in schema.types]
        batches.append(pa.record_batch(columns, schema=schema).slice(1, size))
    made = pa.Table.from_batches(rebatch(batches, rows), schema)
    assert made.to_pydict() == pa.Table.from_batches(batches, schema).to_pydict()


# --- only what is asked for ---------------------------------------------------------------------


def test_csv_does_not_convert_other_columns(tmp_path):
    path = text(tmp_path, "a,b\n" + "1,2\n" * 2_000_000 + "1,oops\n")
    assert sum(b.num_rows for b in open_table(path).batches(["a"])) == 2_000_001
    with pytest.raises(FileInputError, match=r"column 'b' is int64 by the first rows.*'oops'"):
        list(open_table(path).batches(["b"]))


def test_parquet_does_not_read_other_columns(tmp_path):
    path = tmp_path / "rows.parquet"
    columns = {"a": list(range(1000)), "b": [i * 7 for i in range(1000)]}
    pq.write_table(pa.table(columns), path, compression="none", use_dictionary=False)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    assert whole(open_table(path), ["a"]) == {"a": columns["a"]}
    with pytest.raises(FileInputError, match=r"rows.parquet"):
        whole(open_table(path), ["b"])


def test_parquet_holds_one_row_group_at_a_time(tmp_path):
    path = tmp_path / "rows.parquet"
    table = pa.table({f"c{i}": pa.array(range(i, 200_000 + i), pa.int64()) for i in range(8)})
    pq.write_table(table, path, row_group_size=10_000)
    start, most = pa.total_allocated_bytes(), 0
    for _ in open_table(path).batches(rows=5_000):
        most = max(most, pa.total_allocated_bytes() - start)
    assert 0 < most < table.nbytes / 4, (most, table.nbytes)


# --- CSV ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["", '""', "NA", "NaN", "nan", "null", "N/A", "None"])
def test_missing_cells_are_null_in_numbers_and_in_text(tmp_path, cell):
    table = open_table(text(tmp_path, f"a,b\n1,x\n{cell},{cell}\n"))
    assert whole(table) == {"a": [1, None], "b": ["x", None]}


@pytest.mark.parametrize("word", ["", "NA", "nan", "-NaN", "inf", "1e400"])
@pytest.mark.parametrize("at", [3, 9_000])
def test_a_word_between_numbers_is_read_the_same_in_every_block(tmp_path, word, at, monkeypatch):
    """Blocks without words are parsed with fewer rules. The oracle is pandas."""
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("millrace.data.text.BLOCK", 1 << 14)
    lines = [f"{i}.5,{i}" for i in range(10_000)]
    lines[at] = f"{word},7"
    path = text(tmp_path, "\n".join(["a,b", *lines, ""]))
    found = pa.Table.from_batches(open_table(path).batches())
    expected = pandas.read_csv(path)
    assert found["a"].null_count == int(expected["a"].isna().sum())
    assert found["a"].fill_null(0).to_pylist() == expected["a"].fillna(0).tolist()
    assert found["b"].to_pylist() == expected["b"].tolist()


def test_a_number_may_stand_for_missing(tmp_path):
    path = text(tmp_path, "a,b\n1.5,2\n-999,3\n")
    found = whole(open_table(path, CsvOptions(missing=("", "-999"))))
    assert found == {"a": [1.5, None], "b": [2, 3]}


def test_missing_cells_are_those_of_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    cells = [
        "",
        "-",
        "?",
        "NA",
        "na",
        "#N/A",
        "none",
        "None",
        "NULL",
        "Null",
        "<NA>",
        "inf",
        "1.#IND",
    ]
    path = text(tmp_path, "a,b\n" + "".join(f"x{i},{c}\n" for i, c in enumerate(cells)))
    ours = [v is None for v in whole(open_table(path))["b"]]
    assert ours == pandas.read_csv(path)["b"].isna().tolist()


def test_types_follow_from_the_cells(tmp_path):
    rows = "i,f,s,d,n,b\n1,1.5,x,2020-01-01,,True\n2,2,3,2021-01-01,,False\n"
    schema = open_table(text(tmp_path, rows)).schema
    assert [str(t) for t in schema.types] == [
        "int64",
        "double",
        "string",
        "string",
        "double",
        "bool",
    ]


def test_types_can_be_given(tmp_path):
    options = CsvOptions(types={"zip": pa.string()})
    table = open_table(text(tmp_path, "zip,n\n00123,1\n"), options)
    assert whole(table) == {"zip": ["00123"], "n": [1]}


def test_without_a_header_columns_are_numbered(tmp_path):
    table = open_table(text(tmp_path, "1,a\n2,b\n"), CsvOptions(header=False))
    assert whole(table, ["x1"]) == {"x1": ["a", "b"]}
    assert whole(table) == {"x0": [1, 2], "x1": ["a", "b"]}


def test_a_delimiter_can_be_given(tmp_path):
    table = open_table(text(tmp_path, "a;b\n1;2,5\n"), CsvOptions(delimiter=";"))
    assert whole(table) == {"a": [1], "b": ["2,5"]}


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    table = open_table(text(tmp_path, "a,b\n"))
    assert table.schema.names == ["a", "b"]
    assert list(table.batches()) == []


# --- errors -------------------------------------------------------------------------------------


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    table = open_table(text(tmp_path, "age,income\n1,2\n"))
    with pytest.raises(MissingColumnsError, match=r"'agee' .did you mean 'age'"):
        table.batches(["agee"])


def test_a_column_that_stands_twice_is_refused_where_it_is_asked_for(tmp_path):
    table = open_table(text(tmp_path, "a,b,a\n1,2,3\n"))
    with pytest.raises(FileInputError, match="'a' stands there twice"):
        table.batches(["a"])


@pytest.mark.parametrize("name", ["rows", "rows.txt", "rows.parquet.gz", "rows.gz", ".csv"])
def test_an_unknown_name_lists_the_known_ones(tmp_path, name):
    with pytest.raises(FileInputError, match=r"Expected one of '\.csv'"):
        open_table(text(tmp_path, "a\n1\n", name))


def test_an_absent_file(tmp_path):
    with pytest.raises(FileInputError, match="there is no such file"):
        open_table(tmp_path / "absent.csv")


def test_a_folder(tmp_path):
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(FileInputError, match="it is a folder"):
        open_table(tmp_path / "rows.csv")


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("content", [b"", b"PAR1 but not Parquet \xff\xfe\x00" * 9])
def test_a_file_that_is_not_what_its_name_says(tmp_path, extension, content):
    path = tmp_path / f"rows{extension}"
    path.write_bytes(content)
    with pytest.raises(FileInputError, match="rows"):
        list(open_table(path).batches())


@pytest.mark.parametrize("extension", [".parquet", ".arrow", ".csv.gz", ".csv.zst"])
def test_a_truncated_file(tmp_path, extension):
    path = written(tmp_path, extension, times=50)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(FileInputError, match="rows"):
        list(open_table(path).batches())


def test_a_row_with_too_few_cells(tmp_path):
    with pytest.raises(FileInputError, match="Expected 2 columns, got 1"):
        list(open_table(text(tmp_path, "a,b\n1,2\n3\n")).batches())
