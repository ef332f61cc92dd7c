"""The other commands, and what all of them have in common."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import millrace as mr
from millrace.cli.show import PATIENCE, Progress
from tests.cli.conftest import people

MILLRACE = [sys.executable, "-c", "from millrace.cli import app; app()"]
DATA = Path(__file__).parents[3] / "shared" / "data"


# --- compile, verify, describe, bench, warm -----------------------------------------------------


def test_compile_verifies_and_saves(made, workshop):
    result = workshop.run(
        "compile",
        made / "people.joblib",
        "--trust-pickle",
        "--sample",
        made / "people.csv",
        "-o",
        "m.mill",
    )
    assert "native" in result.stdout
    assert "m.mill" in result.stderr
    model = mr.load("m.mill")
    assert model.info.verification["rows"]["sample"] == 300
    assert model.used_columns == ("age", "hours", "work", "code")


def test_compile_writes_beside_the_fitted_object(made, workshop):
    joblib.dump(joblib.load(made / "array.pkl"), "forest.pkl")
    found = workshop.json("compile", "forest.pkl", "--trust-pickle", "--no-verify")
    assert found["output"] == "forest.mill"
    assert found["verification"] is None
    assert found["bytes"] == os.path.getsize("forest.mill")


def test_verify_agrees(made, workshop):
    arguments = [made / "people.joblib", made / "people.mill", "--trust-pickle", "--seconds", "0"]
    result = workshop.run("verify", *arguments, "--sample", made / "people.parquet")
    assert "the same bits" in result.stdout
    found = workshop.json("verify", *arguments, "--sample", made / "people.parquet")
    assert found["differences"] == []
    assert found["rows"]["sample"] == 300
    assert "sample" not in workshop.json("verify", *arguments)["rows"]


def test_verify_ends_with_one_where_answers_differ(made, workshop):
    frame = people(100)
    other = joblib.load(made / "people.joblib").fit(frame, frame["hours"] > 40)
    joblib.dump(other, "other.joblib")
    frame.to_csv("rows.csv", index=False)
    arguments = [
        "verify",
        "other.joblib",
        made / "people.mill",
        "--trust-pickle",
        "--sample",
        "rows.csv",
    ]
    assert "DIFFERS" in workshop.run(*arguments, code=1).stdout
    assert workshop.json(*arguments, code=1)["differences"]


def test_the_target_in_the_sample_is_passed_over(made, workshop):
    people(50).assign(income="x").to_csv("rows.csv", index=False)
    arguments = [made / "people.joblib", made / "people.mill", "--trust-pickle", "--seconds", "0"]
    found = workshop.json("verify", *arguments, "--sample", "rows.csv", "--rows", "20")
    assert found["rows"]["sample"] == 20


def test_verify_a_model_fitted_without_names(made, workshop):
    arguments = [made / "array.pkl", made / "array.mill", "--trust-pickle", "--seconds", "0"]
    sample = ["--sample", made / "array.csv"]
    assert "--drop" not in workshop.run("verify", *arguments, *sample, code=2).stdout
    assert workshop.json("verify", *arguments, *sample, "--drop", "target")["rows"]["sample"] == 50


def test_describe(made, workshop):
    assert "HistGradientBoostingClassifier" in workshop.run("describe", made / "people.mill").stdout
    found = workshop.json("describe", made / "people.mill")
    assert found["columns_read"] == ["age", "hours", "work", "code"]
    assert found["columns_ignored"] == ["id"]
    assert "trees" in workshop.run("describe", made / "array.mill", "--program").stdout.lower()


def test_bench(made, workshop):
    arguments = [made / "people.joblib", "--trust-pickle", "--seconds", "0"]
    found = workshop.json(
        "bench", *arguments, "--sample", made / "people.csv", "--method", "predict_proba"
    )
    names = [t["name"] for t in found["timings"]]
    assert names[:2] == ["original (sklearn)", "Millrace"]
    assert found["timings"][1]["answers"] == "the same bits"
    assert all(t["batch_seconds"] > 0 and t["row_seconds"] > 0 for t in found["timings"][:2])
    result = workshop.run("bench", *arguments, "--sample", made / "people.csv", "--rows", "10")
    assert "10 rows" in result.stdout
    assert "--sample" in workshop.run("bench", *arguments, code=2).stderr


def test_bench_says_where_answers_differ():
    from millrace.cli.commands.bench import compared

    expected = np.array([0.5, 0.25])
    assert compared(expected, expected.copy()) == "the same bits"
    assert compared(expected, expected + 0.125) == "within 0.1"
    assert compared(np.array(["a", "b"]), np.array(["a", "c"])) == "50.00% differ"
    assert compared(expected, expected[:, None]) == "another shape: (2, 1)"


def test_a_peer_is_measured_or_says_why_not(made, workshop, monkeypatch):
    from millrace.cli import peers

    def absent(fitted, method, rows):
        raise ImportError("absent")

    def unwilling(fitted, method, rows):
        raise ValueError("no such operator\nand more")

    def wrong(fitted, method, rows):
        return peers.Run(lambda X: np.zeros(len(X)), lambda X: X)

    registry = {"Absent": absent, "Unwilling": unwilling, "Wrong": wrong}
    monkeypatch.setattr(peers, "PEERS", registry)
    found = workshop.json(
        "bench", made / "array.pkl", "--trust-pickle", "--seconds", "0",
        "--sample", made / "array.csv", "--drop", "target",
    )  # fmt: skip
    assert [t["name"] for t in found["timings"]][2:] == ["Wrong"]
    assert found["timings"][2]["answers"].startswith("within ")
    assert found["missing"] == ["Unwilling does not take it: no such operator"]


def test_warm(workshop, monkeypatch, tmp_path):
    # How fast a busy machine is, is not to be kept.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prediction = workshop.json("warm")["combinations"]
    assert prediction > 0
    assert workshop.json("warm", "--fit")["combinations"] > prediction + 100
    assert workshop.run("warm", "-q").output == ""


# --- model files of other libraries -------------------------------------------------------------


def _rows_and_target():
    X = np.random.default_rng(0).normal(size=(200, 3))
    return X, (X[:, 0] > X[:, 1]).astype(int)


def _lightgbm(folder):
    lightgbm = pytest.importorskip("lightgbm")
    X, y = _rows_and_target()
    fitted = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, y), 5)
    fitted.save_model(folder / "model.txt")
    return fitted.predict(X)


def _xgboost(name):
    def save(folder):
        xgboost = pytest.importorskip("xgboost")
        X, y = _rows_and_target()
        fitted = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, y), 5)
        fitted.save_model(folder / name)
        return fitted.predict(xgboost.DMatrix(X))

    return save


def _catboost(name):
    def save(folder):
        catboost = pytest.importorskip("catboost")
        X, y = _rows_and_target()
        fitted = catboost.CatBoostClassifier(iterations=5, verbose=False, allow_writing_files=False)
        fitted.fit(X, np.where(y > 0, "yes", "no"))
        fitted.save_model(str(folder / name), format=name.partition(".")[2])
        return fitted.predict(X)

    return save


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("model.txt", _lightgbm),
        ("model.json", _xgboost("model.json")),
        ("model.ubj", _xgboost("model.ubj")),
        ("model.cbm", _catboost("model.cbm")),
        ("model.json", _catboost("model.json")),
    ],
)
def test_models_of_the_boosting_libraries_need_no_pickle(workshop, name, save):
    expected = save(workshop.folder)
    X, _ = _rows_and_target()
    np.savetxt("rows.csv", X, delimiter=",", fmt="%.17g")
    workshop.run("compile", name, "-o", "m.mill", "-q")
    workshop.run("predict", "m.mill", "rows.csv", "--no-header", "-o", "o.parquet")
    answers = workshop_answers("o.parquet")
    assert answers.tolist() == expected.tolist()


def workshop_answers(path):
    import pyarrow.parquet as pq

    return pq.read_table(path)["predict"].to_numpy(zero_copy_only=False)


# --- bad input ----------------------------------------------------------------------------------


class Dangerous:
    """A pickle that leaves a mark when it is loaded."""

    def __reduce__(self):
        return (os.mkdir, ("was-run",))


@pytest.mark.parametrize(
    "name", ["model.pkl", "model.joblib", "model.pickle", "model", "model.bin"]
)
@pytest.mark.parametrize("command", ["compile", "describe"])
def test_a_pickle_is_not_touched_without_trust(workshop, name, command):
    with open(name, "wb") as file:
        pickle.dump(Dangerous(), file)
    result = workshop.run(command, name, code=2)
    assert "loading it can run any code" in result.stderr
    assert not (workshop / "was-run").exists()


def test_a_pickle_that_needs_a_module_of_the_current_folder(workshop):
    (workshop / "features.py").write_text("def double(X):\n    return X * 2\n")
    X = np.ones((20, 2))
    code = (
        "import sys, joblib, numpy as np; sys.path.insert(0, ''); from features import double;"
        "from sklearn.pipeline import make_pipeline; from sklearn.linear_model import Ridge;"
        "from sklearn.preprocessing import FunctionTransformer;"
        "X = np.ones((20, 2)); m = make_pipeline(FunctionTransformer(double), Ridge());"
        "m.fit(X, X[:, 0]); joblib.dump(m, 'm.joblib')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.savetxt("rows.csv", X, delimiter=",")
    words = [
        "predict",
        "m.joblib",
        "rows.csv",
        "--no-header",
        "--trust-pickle",
        "-o",
        "o.csv",
        "-q",
    ]
    subprocess.run([*MILLRACE, *words], check=True)
    (workshop / "features.py").unlink()
    done = subprocess.run([*MILLRACE, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs the module 'features'" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.pkl", None, "there is no such file"),
        ("damaged.pkl", b"\x80\x04 nonsense", "Cannot read damaged.pkl"),
        ("other.xyz", b"text", "Expected one of"),
        ("model.txt", b"no model at all", "Cannot read model.txt"),
        ("model.json", b"{", "Cannot read model.json"),
        ("model.mill", b"not one", "is a compiled model; give the fitted object"),
    ],
)
def test_files_that_hold_no_fitted_object(workshop, name, content, message):
    if content is not None:
        (workshop / name).write_bytes(content)
    result = workshop.run("compile", name, "--trust-pickle", code=2)
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_damaged_model_file(made, workshop):
    content = bytearray((made / "people.mill").read_bytes())
    content[len(content) // 2] ^= 1
    (workshop / "m.mill").write_bytes(content)
    assert "m.mill" in workshop.run("describe", "m.mill", code=2).stderr


def test_an_object_that_is_not_fitted(workshop):
    joblib.dump(Ridge(), "m.joblib")
    assert "not fitted" in workshop.run("compile", "m.joblib", "--trust-pickle", code=2).stderr


def test_a_model_with_foreign_code_cannot_be_saved_but_can_predict(workshop):
    X = np.ones((20, 2))
    fitted = make_pipeline(FunctionTransformer(np.cumsum, kw_args={"axis": 1}), Ridge()).fit(
        X, X[:, 0]
    )
    joblib.dump(fitted, "m.joblib")
    np.savetxt("rows.csv", X, delimiter=",")
    result = workshop.run("compile", "m.joblib", "--trust-pickle", code=2)
    assert "foreign Python code" in result.stderr
    workshop.run("predict", "m.joblib", "rows.csv", "--no-header", "--trust-pickle", "-o", "o.csv")


# --- the program as a whole ---------------------------------------------------------------------


def test_help_names_every_command(workshop):
    output = workshop.run("--help").stdout
    for command in ("bench", "compile", "describe", "predict", "verify", "warm"):
        assert command in output
        assert "Usage" in workshop.run(command, "--help").stdout


def test_the_version(workshop):
    assert workshop.run("--version").stdout.strip() == f"millrace {mr.__version__}"


@pytest.mark.parametrize("words", [["nothing"], ["predict"], ["predict", "--nothing"], ["compile"]])
def test_wrong_usage_ends_with_two(workshop, words):
    assert "Traceback" not in workshop.run(*words, code=2).output


def test_a_closed_pipe_ends_without_a_traceback(made, workshop):
    import pandas as pd

    pd.concat([people(300)] * 400).to_csv("rows.csv", index=False)
    words = ["predict", str(made / "people.mill"), "rows.csv", "--keep", "work", "-q"]
    with subprocess.Popen(
        [*MILLRACE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == '"work","predict"\n'
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_interrupted_it_leaves_the_old_file_and_no_other(made, workshop):
    import pandas as pd

    pd.concat([people(300)] * 400).to_csv("rows.csv", index=False)
    (workshop / "out.csv").write_text("old")
    words = ["predict", str(made / "people.mill"), "rows.csv", "-o", "out.csv"]
    slowly = ["--batch-rows", "1"]
    with subprocess.Popen(
        [*MILLRACE, *words, *slowly], stderr=subprocess.PIPE, text=True
    ) as process:
        stop = time.monotonic() + 60
        while not list(workshop.folder.glob(".out.csv.*")) and time.monotonic() < stop:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert (workshop / "out.csv").read_text() == "old"
    assert not list(workshop.folder.glob(".out.csv.*"))


def test_progress_is_silent_at_first_and_then_a_bar(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    bar = Progress("predicting")
    bar.advance(1000, 0.1)
    assert stream.getvalue() == ""
    now[0] = PATIENCE + 1
    bar.advance(1000, 0.2)
    bar.stop()
    assert "2,000 rows" in stream.getvalue()
    assert bar.rows_per_second == pytest.approx(2000 / (PATIENCE + 1))


@pytest.mark.skipif(
    not (DATA / "adult_test.csv").exists(), reason="needs ../shared/data/adult_test.csv"
)
def test_the_main_job_on_real_data(workshop):
    """What the README shows, on census data, against the pipeline itself."""
    import pandas as pd
    import pyarrow.parquet as pq
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train = pd.read_csv(DATA / "adult_train.csv").head(2000)
    target = train.pop("income")
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    fitted = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=10)).fit(train, target)
    joblib.dump(fitted, "pipeline.joblib")
    sample = ["--sample", DATA / "adult_test.csv", "--trust-pickle"]
    workshop.run("compile", "pipeline.joblib", *sample, "--rows", "500", "-o", "income.mill")
    workshop.run(
        "predict", "income.mill", DATA / "adult_test.csv", "-o", "scores.parquet",
        "--method", "predict_proba", "--keep", "income",
    )  # fmt: skip
    test = pd.read_csv(DATA / "adult_test.csv")
    scores = pq.read_table("scores.parquet").to_pandas()
    assert scores.pop("income").tolist() == test.pop("income").tolist()
    assert (scores.to_numpy() == fitted.predict_proba(test)).all()
    report = workshop.json("verify", "pipeline.joblib", "income.mill", *sample, "--seconds", "0")
    assert report["differences"] == []
    assert json.dumps(report)
