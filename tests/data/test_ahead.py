"""Reading ahead and putting aside: the same batches, no thread and no file left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from millrace.data import Spool, prefetch
from millrace.errors import FileInputError

ROWS = pa.record_batch(
    {
        "number": np.arange(1000.0),
        "count": pa.array([None, *range(999)], pa.int32()),
        "word": [None if i % 9 == 0 else f"w{i}" for i in range(1000)],
        "kind": pa.array([f"k{i % 3}" for i in range(1000)]).dictionary_encode(),
        "flag": [i % 2 == 0 for i in range(1000)],
        "when": pa.array(range(1000), pa.timestamp("us")),
    }
)


def readers():
    return [t for t in threading.enumerate() if t.name == "millrace-prefetch"]


# --- prefetch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 50])
def test_items_come_in_order(most):
    assert list(prefetch(range(30), most)) == list(range(30))
    assert not readers()


def test_it_is_ahead_and_bounded():
    taken = []

    def source():
        for i in range(100):
            taken.append(i)
            yield i

    with prefetch(source(), 3) as items:
        assert next(items) == 0
        deadline = time.monotonic() + 10
        while len(taken) < 5 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(taken) == 5, "one taken, three waiting, one more read"


def test_an_error_comes_after_the_items_before_it():
    def source():
        yield 1
        raise FileInputError("bad row")

    items = prefetch(source())
    assert next(items) == 1
    with pytest.raises(FileInputError, match="bad row"):
        next(items)
    assert not readers()
    with pytest.raises(StopIteration):
        next(items)


def test_closing_stops_the_thread_and_closes_the_source_in_it():
    closed_in = []

    def source():
        try:
            while True:
                yield 0
        finally:
            closed_in.append(threading.current_thread().name)

    with prefetch(source()) as items:
        next(items)
        assert len(readers()) == 1
    assert closed_in == ["millrace-prefetch"]
    assert not readers()


def test_dropping_it_stops_the_thread():
    items = prefetch(iter(int, 1))
    next(items)
    (thread,) = readers()
    del items
    thread.join(10)
    assert not thread.is_alive()


def test_ctrl_c_ends_a_program_that_waits():
    code = (
        "import time\n"
        "from millrace.data import prefetch\n"
        "def slow():\n"
        "    yield 0\n"
        "    while True:\n"
        "        time.sleep(0.05)\n"
        "        if False: yield 1\n"
        "items = prefetch(slow())\n"
        "next(items)\n"
        "print('waiting', flush=True)\n"
        "next(items)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0


# --- spool --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [None, "given"])
def test_batches_come_back_as_they_were(tmp_path, folder):
    parts = [ROWS.slice(i, 300) for i in range(0, 1000, 300)]
    with Spool(tmp_path if folder else None, ROWS.schema) as spool:
        for part in parts:
            spool.append(part)
        assert (spool.n_rows, spool.n_batches) == (1000, 4)
        for _ in range(2):
            back = list(spool.batches())
            assert [b.schema for b in back] == [ROWS.schema] * 4
            assert all(a.equals(b) for a, b in zip(parts, back, strict=True))
        assert [b.num_rows for b in spool.batches(2)] == [300, 100]
        assert os.listdir(tmp_path) == [], "the file has no name"
    assert back[0].equals(parts[0]), "what was read stays valid"


def test_dictionaries_may_differ_from_batch_to_batch():
    parts = [pa.record_batch({"k": pa.array(list(w)).dictionary_encode()}) for w in ("ab", "cad")]
    with Spool(None, parts[0].schema) as spool:
        for part in parts:
            spool.append(part)
        assert [b["k"].to_pylist() for b in spool.batches()] == [["a", "b"], ["c", "a", "d"]]


def test_a_full_disk_leaves_what_was_appended(tmp_path):
    """A limit on file size stands for the disk: the write fails in the same way, half-way."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with Spool(tmp_path, ROWS.schema) as spool:
            spool.append(ROWS)
            assert spool.nbytes > 25_000, "a second one does not fit"
            with pytest.raises(FileInputError, match=r"File too large.*TMPDIR"):
                spool.append(ROWS)
            (back,) = spool.batches()
            assert back.equals(ROWS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileInputError, match=r"Cannot put rows aside in .*absent"):
        Spool(tmp_path / "absent", ROWS.schema)
