"""How long does one row, a dict of numbers and strings, through a whole pipeline take?

The pipeline on the UCI Adult census data: impute and scale the numbers, impute and one-hot the
strings, 100 boosted trees. The row is what a service gets: a dict of 14 values, some of them
missing. scikit-learn is asked as services ask it, `predict(DataFrame([row]))`, and once more with
the frame built before, which nobody gets for free. 200 different rows, one thread.
"""

from __future__ import annotations

import copy
import os
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
PREPARED = f"{MILLRACE}, prepared call"

LIMIT = (
    "14 look-ups in the dict (about 30 ns each), 8 searches of a string among at most 42 (about 50 "
    "ns each), 100 trees × 6 steps × about 2 ns: some 2 µs, to which Python adds a call."
)

TARGETS = (
    Target("one row (dict) through the adult pipeline: `predict_one`", 50, 300, (FRAME,)),
    Target("one row (dict), prepared call", 50, 300, (FRAME,), contender=PREPARED),
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
    harness.run_case(
        case, contenders(model, rows, chosen), FRAME, chosen.measure_budget(quick=12, full=40)
    )
    result.cases.append(case)
    result.write()


def frame(part: str, n_rows: int | None = None) -> Any:
    """The census data as a DataFrame."""
    import pandas as pd

    path = DATA / f"adult_{part}.csv"
    if not path.exists():
        raise Skip(f"{path.name} is not there; MILLRACE_DATA names the folder that holds it")
    return pd.read_csv(path, nrows=n_rows)


def fit() -> Any:
    """The pipeline of `examples/demo.py`."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = frame("train")
    y = table.pop("income")
    numbers = [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]
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
        one_by_one(
            "ONNX Runtime", partial(onnxruntime, model, chosen.threads), rows, text_for_missing
        ),
    ]


def one_by_one(
    name: str,
    make: Callable[[], Callable[[Any], Any]],
    rows: list[Row],
    convert: Callable[[Row], Any] = dict,
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
