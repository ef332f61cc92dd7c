"""How long does one row, a dict of numbers and strings, through a whole pipeline take?

The pipeline on the UCI Adult census data: impute and scale the numbers, impute and one-hot the
strings, 100 boosted trees. The row is what a service gets: a dict of 14 values, some of them
missing. scikit-learn is asked as services ask it, `predict(DataFrame([row]))`, and once more with
the frame built before, which nobody gets for free. 200 different rows, one thread.

A second pipeline of the numbers alone (impute, scale, 100 boosted trees) takes NumPy rows. For Millrace
the time of every single call is kept as well: what one call in a hundred takes (p99) against the median.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, models, peers
from benchmarks.harness import MILLRACE, ROOT, Case, Contender, Options, Skip, Target, WrongAnswer
from benchmarks.models import Model

DATA = Path(os.environ.get("MILLRACE_DATA", ROOT.parent.parent / "shared" / "data"))
N_ROWS = 200
FRAME, FRAME_READY = "scikit-learn, DataFrame([row])", "scikit-learn, frame built before"
ARRAY = "scikit-learn, array of one row"
PREPARED = f"{MILLRACE}, prepared call"

LIMIT = (
    "14 look-ups in the dict (about 30 ns each), 8 searches of a string among at most 42 (about 50 "
    "ns each), 100 trees × 6 steps × about 2 ns: some 2 µs, to which Python adds a call."
)

ONNX = "ONNX Runtime"
ROUNDS = 50
"""How often every row is answered for the times of single calls."""

TARGETS = (
    Target("one row (dict) through the adult pipeline: `predict_one`", 200, 300, (FRAME,)),
    Target("one row (dict) through the adult pipeline: `predict_one`", 3, 5, (ONNX,)),
    Target("one row (dict) through the adult pipeline: `predict_one`", 25, 15, unit="µs"),
    Target("one row (dict), prepared call", 200, 300, (FRAME,), contender=PREPARED),
    Target("one row (dict), prepared call", 25, 15, contender=PREPARED, unit="µs"),
)
NUMERIC_TARGETS = (
    Target("one row of numbers (array), prepared call", 10, 5, contender=PREPARED, unit="µs"),
    Target("one row of numbers (array), prepared call", 3, 5, (ONNX,), contender=PREPARED),
    Target("one row of numbers (array), prepared call", 200, 300, (ARRAY,), contender=PREPARED),
)

Row = dict[str, Any]


def main() -> None:
    chosen = harness.options(__doc__, threads=1)
    result = harness.begin("one_row_pipeline", "A pipeline, one row", __doc__, chosen, LIMIT)
    model = models.cached("adult-pipeline", "scikit-learn", fit)
    check_scores(model)
    case = Case(
        f"{N_ROWS} different rows of the test set, one `predict` each, time a row",
        calls=N_ROWS,
        unit="µs",
        targets=TARGETS,
    )
    rows = frame("test", N_ROWS).drop(columns="income").to_dict("records")
    budget = chosen.measure_budget(quick=12, full=40)
    harness.run_case(case, contenders(model, rows, chosen), FRAME, budget)
    add_calls(case, result.extra, model.fitted, rows, chosen.threads)
    result.cases.append(case)
    result.cases.append(numbers_alone(result.extra, chosen))
    result.write()


def numbers_alone(extra: dict[str, Any], chosen: Options) -> Case:
    """The case of the pipeline without strings."""
    model = models.cached("adult-numbers", "scikit-learn", fit_numbers)
    table = frame("test", N_ROWS)
    rows = list(table[numeric_columns(table)].to_numpy(np.float64))
    case = Case(
        f"{N_ROWS} different rows of numbers, one `predict` each, time a row",
        calls=N_ROWS,
        unit="µs",
        targets=NUMERIC_TARGETS,
    )
    fitted = model.fitted
    all_contenders = [
        one_by_one(MILLRACE, partial(ours, fitted, chosen.threads, prepared=False), rows, np.array),
        one_by_one(PREPARED, partial(ours, fitted, chosen.threads, prepared=True), rows, np.array),
        one_by_one(ARRAY, partial(from_frame, fitted), rows, as_matrix),
        one_by_one(ONNX, partial(onnx_numbers, model, chosen.threads), rows, as_singles),
    ]
    harness.run_case(case, all_contenders, ARRAY, chosen.measure_budget(quick=12, full=40))
    add_calls(case, extra, fitted, rows, chosen.threads)
    return case


def add_calls(
    case: Case, extra: dict[str, Any], fitted: Any, rows: list[Any], threads: int
) -> None:
    """The times of single calls, and whether the slow ones are slow."""
    call = ours(fitted, threads, prepared=True)
    took = np.array(sorted(seconds_of_calls(call, rows)))
    median, slow = (float(np.quantile(took, q)) for q in (0.5, 0.99))
    extra.setdefault("single_calls", []).append(
        {"case": case.name, "calls": len(took), "p50": median, "p99": slow}
    )
    target = Target("p99 of single calls over their p50, prepared call", 3, 2, contender=PREPARED)
    case.verdicts.append(harness.verdict(target, slow / median, higher_is_better=False))
    print(f"single calls: p50 {median * 1e6:.2f} µs, p99 {slow * 1e6:.2f} µs")


def seconds_of_calls(call: Callable[[Any], Any], rows: list[Any]) -> list[float]:
    """Seconds of every single call, the clock's own time (some 50 ns) among them."""
    for row in rows:
        call(row)
    took: list[float] = []
    for _ in range(ROUNDS):
        for row in rows:
            began = time.perf_counter()
            call(row)
            took.append(time.perf_counter() - began)
    return took


def frame(part: str, n_rows: int | None = None) -> Any:
    """The census data as a DataFrame."""
    import pandas as pd

    path = DATA / f"adult_{part}.csv"
    if not path.exists():
        raise Skip(f"{path.name} is not there; MILLRACE_DATA names the folder that holds it")
    return pd.read_csv(path, nrows=n_rows)


def fit() -> Any:
    """The pipeline of `examples/demo.py`."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = frame("train")
    y = table.pop("income")
    numbers = numeric_columns(table)
    strings = [c for c in table.columns if c not in numbers]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (
                "strings",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"),
                    OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                ),
                strings,
            ),
        ]
    )
    boosting = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    return make_pipeline(columns, boosting).fit(table, y)


def numeric_columns(table: Any) -> list[str]:
    """Names of the columns that hold numbers."""
    import pandas as pd

    return [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]


def fit_numbers() -> Any:
    """The part of the pipeline that takes numbers, with trees of its own."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = frame("train")
    y = table.pop("income")
    boosting = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    columns = SimpleImputer(strategy="median"), StandardScaler()
    return make_pipeline(*columns, boosting).fit(table[numeric_columns(table)].to_numpy(), y)


def check_scores(model: Model) -> None:
    """Compare the probabilities of the whole test set: the labels of 200 rows prove little."""
    import millrace as mr

    table = frame("test").drop(columns="income")
    ours = mr.compile(model.fitted).predict_proba(table)
    worst, _ = harness.distance(np.asarray(ours), model.fitted.predict_proba(table))
    if worst > 0:
        raise WrongAnswer(f"probabilities of the adult pipeline are off by {worst}")


def contenders(model: Model, rows: list[Row], chosen: Options) -> list[Contender]:
    fitted = model.fitted
    return [
        one_by_one(MILLRACE, partial(ours, fitted, chosen.threads, prepared=False), rows),
        one_by_one(PREPARED, partial(ours, fitted, chosen.threads, prepared=True), rows),
        one_by_one(FRAME, partial(from_dict, fitted), rows),
        one_by_one(FRAME_READY, partial(from_frame, fitted), rows, as_frame),
        one_by_one(ONNX, partial(onnxruntime, model, chosen.threads), rows, text_for_missing),
    ]


def one_by_one(
    name: str,
    make: Callable[[], Callable[[Any], Any]],
    rows: list[Any],
    convert: Callable[[Any], Any] = dict,
) -> Contender:
    """A contender that answers every row with a call of its own."""

    def prepare() -> tuple[Callable[[Any], Any], list[Any]]:
        return make(), [convert(row) for row in rows]

    def run(state: tuple[Callable[[Any], Any], list[Any]]) -> list[Any]:
        call, given = state
        return [call(row) for row in given]

    return Contender(name, prepare, run, read=labels)


def labels(raw: list[Any]) -> np.ndarray:
    return np.array([np.asarray(answer).reshape(-1)[0] for answer in raw], dtype=str)


def ours(fitted: Any, threads: int, *, prepared: bool) -> Callable[[Row], Any]:
    import millrace as mr

    mr.set_threads(threads)
    model = mr.compile(fitted)
    return model.row_function() if prepared else model.predict_one


def text_for_missing(row: Row) -> Row:
    """The row with "" for each missing string; every missing cell of this data is a string."""
    return {name: "" if value != value else value for name, value in row.items()}


def as_frame(row: Row) -> Any:
    import pandas as pd

    return pd.DataFrame([row])


def as_matrix(row: Any) -> Any:
    return row[None, :]


def as_singles(row: Any) -> Any:
    return row[None, :].astype(np.float32)


def from_dict(fitted: Any) -> Callable[[Row], Any]:
    import pandas as pd

    return lambda row: fitted.predict(pd.DataFrame([row]))


def from_frame(fitted: Any) -> Callable[[Any], Any]:
    return fitted.predict


def onnxruntime(model: Model, threads: int) -> Callable[[Row], Any]:
    """The pipeline as ONNX: an array of shape (1, 1) for every column, made in the call.

    ONNX has no missing strings, so the empty string stands for them, in the imputer and in the
    rows.
    """
    session = peers.onnx_session(_onnx_file(model), threads)
    wanted = [session.get_outputs()[0].name]
    takes_text = {i.name: "string" in i.type for i in session.get_inputs()}

    def call(row: Row) -> Any:
        given = {
            name: np.array([[row[name]]], dtype=object if text else np.float32)
            for name, text in takes_text.items()
        }
        return session.run(wanted, given)[0]

    return call


def onnx_numbers(model: Model, threads: int) -> Callable[[Any], Any]:
    """The pipeline of numbers as ONNX, which takes float32."""
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    path = model.file(".onnx")
    if not path.exists():
        width = model.fitted.n_features_in_
        converted = skl2onnx.convert_sklearn(
            model.fitted,
            initial_types=[("X", FloatTensorType([None, width]))],
            options={id(model.fitted): {"zipmap": False}},
        )
        path.write_bytes(converted.SerializeToString())
    session = peers.onnx_session(path, threads)
    wanted = [session.get_outputs()[0].name]
    return lambda row: session.run(wanted, {"X": row})[0]


def _onnx_file(model: Model) -> Path:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    path = model.file(".onnx")
    if not path.exists():
        fitted = copy.deepcopy(model.fitted)
        (_, _, numbers), (_, encode, strings) = fitted[0].transformers_[:2]
        encode[0].missing_values = ""
        types = [(c, FloatTensorType([None, 1])) for c in numbers]
        types += [(c, StringTensorType([None, 1])) for c in strings]
        plain = {id(fitted): {"zipmap": False}}
        converted = skl2onnx.convert_sklearn(fitted, initial_types=types, options=plain)
        path.write_bytes(converted.SerializeToString())
    return path


if __name__ == "__main__":
    main()
