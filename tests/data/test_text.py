"""Files of lines cut into blocks: any cells, any size of blocks, and errors that name the row."""

from __future__ import annotations

import csv as standard
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.data import CsvOptions, scan
from millrace.data import text as blocks
from millrace.errors import FileInputError

CELLS = st.text(st.sampled_from('ab",\n é\r\t'), max_size=6)


def whole(table):
    return pa.Table.from_batches(table.batches(), table.schema).to_pydict()


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few bytes, so that every cell comes to stand at the end of one."""
    monkeypatch.setattr(blocks, "BLOCK", 40)


@settings(max_examples=150)
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), size=st.integers(12, 90))
def test_quoted_cells_are_never_cut(tmp_path_factory, rows, size):
    """The oracle is the csv module, which wrote them."""
    path = tmp_path_factory.mktemp("quoted") / "rows.csv"
    with path.open("w", newline="") as file:
        writer = standard.writer(file, quoting=standard.QUOTE_ALL, lineterminator="\n")
        writer.writerows([("a", "b"), *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        found = whole(
            scan(path, csv=CsvOptions(missing=(), types=dict.fromkeys("ab", pa.string())))
        )
    assert list(zip(found["a"], found["b"], strict=True)) == rows


@settings(max_examples=150)
@given(
    lines=st.lists(
        st.text(st.sampled_from('ab",x'), min_size=1, max_size=8), min_size=1, max_size=9
    ),
    size=st.integers(8, 60),
)
def test_stray_quotes_are_read_as_arrow_reads_the_whole_file(lines, size):
    """What the count of quotes cannot tell is left to Arrow: no block ends within a cell."""
    text = ("a\n" + "\n".join(lines) + "\n").encode()
    stream = io.BytesIO(text)
    cutter = blocks.Cutter(stream, b",", size)
    cut = [bytes(b.lines) for b in cutter]
    assert b"".join(cut) + cutter.rest + stream.read() == text
    ends = np.cumsum([len(c) for c in cut])
    for end in ends[ends < len(text)]:
        assert _outside_of_quotes(text[: int(end)])


def _outside_of_quotes(text):
    """Whether a text ends outside of a quoted cell, letter by letter as Arrow's lexer goes."""
    state = "start"
    for letter in text.decode():
        if state == "quoted":
            state = "closed" if letter == '"' else "quoted"
        elif letter in ",\n":
            state = "start"
        elif letter == '"' and state in ("start", "closed"):
            state = "quoted"
        else:
            state = "plain"
    return state != "quoted"


def test_a_cell_with_a_stray_quote(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + '5" pipe,1\n' * 300_000 + "x,2\n")
    table = scan(path)
    assert sum(b.num_rows for b in table.batches()) == 300_001
    *_, last = table.batches()
    assert last.slice(last.num_rows - 2).to_pydict() == {"a": ['5" pipe', "x"], "b": [1, 2]}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_and_blank_lines(tmp_path, small_blocks, ending):
    path = tmp_path / "rows.csv"
    lines = ["a,b", *(f"{i},w{i}" for i in range(50)), "", "50,w50"]
    path.write_bytes(ending.join(lines).encode())
    assert whole(scan(path)) == {"a": list(range(51)), "b": [f"w{i}" for i in range(51)]}


def test_old_line_ends_are_left_to_arrow(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\r" + b"1\r" * 10)
    assert whole(scan(path)) == {"a": [1] * 10}


def test_a_line_longer_than_a_block(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"a,b\n1,{'x' * 3_000_000}\n2,{'y' * 100}\n")
    assert [len(t) for t in whole(scan(path))["b"]] == [3_000_000, 100]


def test_integers_become_floats_where_later_rows_have_floats(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1,1\n" * 1_500_000 + "2.5,1\n" * 500_000)
    table = scan(path)
    assert [str(t) for t in table.schema.types] == ["double", "int64"]
    assert sum(pa.compute.sum(b["a"]).as_py() for b in table.batches()) == 2_750_000


@pytest.mark.parametrize("quote", ["", '"'])
def test_the_row_of_a_bad_cell_of_csv(tmp_path, quote):
    path = tmp_path / "rows.csv"
    lines = [f"{i},{quote}w{quote}" for i in range(1_200_000)]
    lines[1_000_007] = f"oops,{quote}w{quote}"
    path.write_text("number,word\n" + "\n".join(lines) + "\n")
    with pytest.raises(FileInputError, match=r"'number' is int64 .* in row 1000007 .*'oops'"):
        list(scan(path).batches())


def test_the_row_with_too_few_cells(tmp_path, small_blocks):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1,2\n" * 100 + "3\n")
    with pytest.raises(FileInputError, match=r"Expected 2 columns, got 1: 3 \(in row 100\)"):
        list(scan(path).batches())


def test_the_row_of_a_bad_cell_of_json(tmp_path, small_blocks, monkeypatch):
    monkeypatch.setattr("millrace.data.jsonl._SAMPLE", 100)
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"a": i, "b": "x"}) for i in range(100)]
    lines[77] = json.dumps({"a": "oops", "b": "x"})
    path.write_text("\n".join(lines))
    with pytest.raises(FileInputError, match=r"'a' is int64 .* in row 77 it holds a string"):
        list(scan(path).batches())


def test_json_keys_that_come_and_go(tmp_path, small_blocks):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "when": "2020-01-01"}\n{"b": 2.5}\n{"a": 3, "b": null}\n')
    found = whole(scan(path))
    assert found == {"a": [1, None, 3], "when": ["2020-01-01", None, None], "b": [None, 2.5, None]}


@pytest.mark.parametrize("name", ["adult_train.csv", "winequality-red.csv", "abalone.csv"])
def test_real_tables_are_read_as_pandas_reads_them(name, small_blocks):
    from pathlib import Path

    path = Path(__file__).parents[3] / "shared" / "data" / name
    if not path.exists():
        pytest.skip("the table is not here")
    begin = path.read_text()[:200].split("\n")[0]
    delimiter = ";" if ";" in begin else ","
    theirs = pd.read_csv(path, sep=delimiter)
    ours = pa.Table.from_batches(scan(path, csv=CsvOptions(delimiter=delimiter)).batches())
    pd.testing.assert_frame_equal(ours.to_pandas(), theirs, check_exact=True)
