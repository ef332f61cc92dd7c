"""One model under many threads, and in a forked child."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import millrace as mr
from tests.conformance.compare import difference
from tests.runtime.models import boosted, matrix, model, people, pipeline

N_THREADS = 16


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """All calls at the same moment, each on a thread of its own."""
    barrier = threading.Barrier(len(calls))

    def wait_and_call(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(wait_and_call, calls))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_many_threads_through_one_model(n_threads: int, threads: Callable[[int], None]) -> None:
    """Also the very first calls, which prepare the executables."""
    threads(n_threads)
    frames = [people(50 + 300 * (i % 3), seed=i) for i in range(N_THREADS)]
    methods = ["predict", "predict_proba"]
    expected = [model(pipeline).call(methods[i % 2], f) for i, f in enumerate(frames)]
    fresh = mr.compile(pipeline(), verify=False)
    for _ in range(3):
        got = together(
            [lambda i=i, f=f: fresh.call(methods[i % 2], f) for i, f in enumerate(frames)]
        )
        assert not [d for a, b in zip(expected, got, strict=True) if (d := difference(a, b))]


def test_many_threads_with_rows_of_different_dtypes(threads: Callable[[int], None]) -> None:
    threads(2)
    arrays = [matrix(9000, seed=i).astype(["float64", "float32"][i % 2]) for i in range(N_THREADS)]
    expected = [model(boosted).predict_proba(a) for a in arrays]
    fresh = mr.compile(boosted(), verify=False)
    got = together([lambda a=a: fresh.predict_proba(a) for a in arrays])
    assert not [d for a, b in zip(expected, got, strict=True) if (d := difference(a, b))]


def test_many_threads_row_by_row() -> None:
    rows = people(40).to_dict("records")
    expected = model(pipeline).predict_proba(people(40))
    fresh = mr.compile(pipeline(), verify=False)

    def each() -> np.ndarray:
        return np.array([fresh.predict_proba_one(r) for r in rows])

    assert not [d for got in together([each] * N_THREADS) if (d := difference(expected, got))]


def test_an_error_on_one_thread_is_that_of_the_caller(threads: Callable[[int], None]) -> None:
    """A bad row in a later block raises, and the model answers afterwards."""
    from sklearn.ensemble import RandomForestRegressor

    threads(3)
    X = np.nan_to_num(matrix(12_000))
    fitted = RandomForestRegressor(3, max_leaf_nodes=8, random_state=0).fit(X[:200], X[:200, 0])
    compiled = mr.compile(fitted, verify=False)
    bad = X.copy()
    bad[11_999, 0] = np.inf
    for _ in range(5):
        with pytest.raises(mr.errors.NonFiniteError, match=r"'x0' holds inf in row 11999"):
            compiled.predict(bad)
        assert not difference(fitted.predict(X), compiled.predict(X))


FORK = """
import os, sys
import numpy as np
import millrace

model = millrace.load(sys.argv[1])
millrace.set_threads(3)
rows = np.random.default_rng(0).normal(size=(30_000, 4))
expected = model.predict_proba(rows)  # the pool has its threads now
child = os.fork()
if child == 0:
    same = np.array_equal(model.predict_proba(rows), expected)
    millrace.set_threads(2)
    same &= np.array_equal(model.predict_proba(rows.astype(np.float32)).shape, expected.shape)
    same &= np.array_equal(model.predict_one(rows[0]), model.predict(rows[:1])[0])
    os._exit(0 if same else 3)
assert np.array_equal(model.predict_proba(rows), expected)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_predicts(tmp_path: Path) -> None:
    path = model(boosted).save(tmp_path / "model.mill")
    command = [sys.executable, "-W", "ignore", "-c", FORK, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_model_travels_to_another_process_as_a_file(tmp_path: Path) -> None:
    """Two loads of one file are two models that answer alike."""
    path = model(boosted).save(tmp_path / "model.mill")
    models = [mr.load(path) for _ in range(4)]
    got = together([lambda m=m: m.predict_proba(matrix(500)) for m in models])
    assert not [d for g in got if (d := difference(model(boosted).predict_proba(matrix(500)), g))]
