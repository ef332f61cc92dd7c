"""Writing table files: whole, or the old file untouched."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.data import EXTENSIONS, StreamWriter, TableWriter, format_of, open_table
from millrace.errors import FileInputError, ModelFileError

BATCH = pa.record_batch({"a": [1.5, None, -0.0], "b": ["x", "", None]})
OLD = b"what was there before"

SLOW_WRITER = """
import sys, time
import pyarrow as pa
from millrace.data import TableWriter
batch = pa.record_batch({"a": list(range(100_000))})
with TableWriter(sys.argv[1], batch.schema) as writer:
    for _ in range(5):
        writer.write(batch)
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=EXTENSIONS)
def path(tmp_path, request):
    path = tmp_path / f"out{request.param}"
    path.write_bytes(OLD)
    return path


def untouched(path):
    return path.read_bytes() == OLD and [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_appears_only_at_the_end(path):
    with TableWriter(path, BATCH.schema) as writer:
        writer.write(BATCH)
        assert path.read_bytes() == OLD
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert pa.Table.from_batches(open_table(path).batches())["a"].to_pylist() == [1.5, None, -0.0]


def test_no_batch_is_an_empty_table(path):
    with TableWriter(path, BATCH.schema):
        pass
    assert open_table(path).schema.names == ["a", "b"]
    assert list(open_table(path).batches()) == []


def test_an_error_in_between_leaves_the_old_file(path):
    def fail():
        with TableWriter(path, BATCH.schema) as writer:
            writer.write(BATCH)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert untouched(path)


def test_rows_of_another_schema_leave_the_old_file(path):
    def write():
        with TableWriter(path, BATCH.schema) as writer:
            writer.write(pa.record_batch({"a": ["text"], "b": ["x"]}))

    with pytest.raises(ModelFileError, match="out"):
        write()
    assert untouched(path)


def test_a_full_disk_leaves_the_old_file(path):
    """A limit on file size stands for the disk: the write fails in the same way, half-way."""
    wide = pa.record_batch({"a": [float(i) * 1.1 for i in range(300_000)], "b": ["x"] * 300_000})

    def write():
        with TableWriter(path, BATCH.schema) as writer:
            for _ in range(20):
                writer.write(wide)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(ModelFileError, match=r"File too large.*untouched"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert untouched(path)


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.parquet"
    path.write_bytes(OLD)
    command = [sys.executable, "-c", SLOW_WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    assert path.read_bytes() == OLD


def test_the_permissions_of_the_old_file_stay(tmp_path):
    path = tmp_path / "out.csv"
    path.write_bytes(OLD)
    path.chmod(0o640)
    with TableWriter(path, BATCH.schema):
        pass
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "real.csv", tmp_path / "link.csv"
    target.write_bytes(OLD)
    link.symlink_to(target)
    with TableWriter(link, BATCH.schema) as writer:
        writer.write(BATCH)
    assert link.is_symlink()
    assert open_table(target).schema.names == ["a", "b"]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(ModelFileError, match="No such file or directory"):
        TableWriter(tmp_path / "absent" / "out.csv", BATCH.schema)
    with pytest.raises(FileInputError, match="Expected one of"):
        TableWriter(tmp_path / "out.txt", BATCH.schema)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ModelFileError, match="not a regular file"):
        TableWriter(tmp_path / "pipe.csv", BATCH.schema)


def test_a_stream_stays_open(tmp_path):
    for extension in EXTENSIONS:
        with (tmp_path / f"out{extension}").open("wb") as stream:
            with StreamWriter(stream, BATCH.schema, format_of(stream.name)) as writer:
                writer.write(BATCH)
            assert not stream.closed
        (batch,) = open_table(stream.name).batches()
        assert batch.num_rows == 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_in_csv_read_back_to_the_same_bits(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("floats") / "out.csv"
    batch = pa.record_batch({"a": numbers})
    with TableWriter(path, batch.schema) as writer:
        writer.write(batch)
    (read,) = open_table(path).batches()
    ours = [float(v).hex() for v in read["a"].to_pylist()]
    if read.schema.types[0] == pa.float64():
        assert ours == [v.hex() for v in numbers]
    else:  # a file of whole numbers reads as integers
        assert read["a"].to_pylist() == numbers
