"""Training end to end: the candidates are scikit-learn's, the better one is kept, notes say the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss, root_mean_squared_error

import millrace as mr
from millrace.errors import FitError, MissingColumnsError, ModelFileError
from millrace.training.opening import HeldOut
from tests.training.conftest import AWKWARD, SHARED, flowers, houses, people

TARGETS = {"binary": "income", "multiclass": "kind", "regression": "price"}
FRAMES = {"binary": people, "multiclass": flowers, "regression": houses}


@pytest.fixture(params=list(TARGETS))
def case(request: pytest.FixtureRequest) -> tuple[mr.TrainResult, pd.DataFrame, Any]:
    """A result, the columns that it was trained on and the target."""
    frame = FRAMES[request.param]()
    target = frame.pop(TARGETS[request.param])
    return request.getfixturevalue(request.param), frame, target


def held_out(result: mr.TrainResult, target: pd.Series) -> np.ndarray:
    split = HeldOut(0.2, 0)
    if result.classes is not None:
        split.stratify()
    return split.of(0, len(target), target=pa.array(target)).astype(bool)


def test_candidates_are_those_of_scikit_learn_on_the_same_rows(case: Any) -> None:
    """The forest to the bit; the linear model as far as both have converged."""
    result, frame, target = case
    held = held_out(result, target)
    np.testing.assert_array_equal(result.y, target[held])
    for candidate in result.candidates:
        if candidate.name == "boosted forest" and any(r.part == "text" for r in result.roles):
            continue  # scikit-learn's TruncatedSVD is a randomised approximation
        tight = {"logisticregression__tol": 1e-10, "logisticregression__max_iter": 10_000}
        own = clone(candidate.estimator)
        own.set_params(**{k: v for k, v in tight.items() if k in own.get_params()})
        own.fit(frame[~held], target[~held])
        for method, answers in candidate.answers.items():
            wanted = getattr(own, method)(frame[held])
            if candidate.name == "boosted forest" or answers.dtype == object:
                np.testing.assert_array_equal(answers, wanted)
            else:
                np.testing.assert_allclose(answers, wanted, rtol=1e-5, atol=1e-7)


def test_the_better_one_is_kept_and_compiled(case: Any) -> None:
    result, frame, target = case
    best, other = result.candidates
    measure = result.difference.name
    assert best.metric(measure).value < other.metric(measure).value
    assert result.difference.value == pytest.approx(
        other.metric(measure).value - best.metric(measure).value
    )
    held = held_out(result, target)
    np.testing.assert_array_equal(result.model.predict(frame[held]), best.answers["predict"])
    assert result.model.info.verification is not None


def test_scores_are_those_of_the_held_out_rows(case: Any) -> None:
    result, frame, target = case
    held = held_out(result, target)
    if result.classes is None:
        wanted = root_mean_squared_error(target[held], result.estimator.predict(frame[held]))
    else:
        probability = result.estimator.predict_proba(frame[held])
        wanted = log_loss(target[held], probability, labels=result.classes)
    assert result.best.metrics[0].value == pytest.approx(wanted, rel=1e-9)


def test_columns_that_say_nothing_are_left_out(binary: mr.TrainResult) -> None:
    assert {r.column: r.part for r in binary.roles} == {
        "id": "left out",
        "age": "number",
        "größe $x^2$": "number",
        AWKWARD: "category",
        "weather": "text",
        "planet": "left out",
        "nothing": "left out",
    }
    assert set(binary.model.used_columns) <= {"age", "größe $x^2$", AWKWARD, "weather"}


def test_importance_finds_what_matters(regression: mr.TrainResult) -> None:
    assert [i.column for i in regression.importances[:2]] == ["rooms", "south"]
    noise = next(i for i in regression.importances if i.column == "noise")
    assert abs(noise.mean) < 0.05 * regression.importances[0].mean


def test_saved_files_answer_as_the_result_does(binary: mr.TrainResult, tmp_path: Path) -> None:
    files = binary.save(tmp_path / "income.mill")
    assert [f.name for f in files] == ["income.mill", "income.joblib"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["income.joblib", "income.mill"]
    frame = people(50, seed=9)
    expected = binary.model.predict_proba(frame)
    np.testing.assert_array_equal(mr.load(files[0]).predict_proba(frame), expected)
    np.testing.assert_array_equal(joblib.load(files[1]).predict_proba(frame), expected)


def test_a_skops_file_loads(binary: mr.TrainResult, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    _, fitted = binary.save(tmp_path / "income.mill", "skops")
    loaded = skops.load(fitted, trusted=skops.get_untrusted_types(file=fitted))
    frame = people(50, seed=9)
    np.testing.assert_array_equal(loaded.predict(frame), binary.model.predict(frame))


def test_the_file_remembers_its_training(binary: mr.TrainResult, tmp_path: Path) -> None:
    binary.save(tmp_path / "income.mill")
    found = mr.load(tmp_path / "income.mill").info.provenance["training"]
    assert (found["target"], found["task"], found["rows"]) == ("income", "binary", 320)
    assert found["held_out_rows"] == len(binary.y)
    assert found["scores"]["log loss"][0] == binary.best.metrics[0].value
    assert found["fingerprint"] == mr.scan(people()).identity()


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    binary: mr.TrainResult, tmp_path: Path, monkeypatch: Any
) -> None:
    binary.save(tmp_path / "income.mill")
    before = (tmp_path / "income.joblib").read_bytes()

    def broken(estimator: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(joblib, "dump", broken)
    with pytest.raises(ModelFileError, match="no space left"):
        binary.save(tmp_path / "income.mill")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["income.joblib", "income.mill"]
    assert (tmp_path / "income.joblib").read_bytes() == before


def test_the_result_as_plain_values_is_json(case: Any) -> None:
    result, _, _ = case
    found = json.loads(json.dumps(result.as_dict(), allow_nan=False, default=str))
    assert found["best"] == result.best.name
    assert found["held_out_rows"] == len(result.y)
    assert set(found["metrics"]) == {"linear model", "boosted forest"}


def test_rows_without_a_target_are_counted_and_left_out() -> None:
    frame = houses(300)
    frame.loc[::10, "price"] = np.nan
    with pytest.raises(FitError, match=r"no value in 30 of 300 rows.*drop_missing_target"):
        mr.train(frame, "price", progress=False)
    result = mr.train(frame, "price", drop_missing_target=True, progress=False)
    assert result.target_profile.n == 270
    assert result.notes == ["30 of 300 rows are left out: they have no target"]


def test_the_same_data_gives_the_same_answers(multiclass: mr.TrainResult) -> None:
    again = mr.train(pa.Table.from_pandas(flowers()), "kind", progress=False)
    for one, other in zip(multiclass.candidates, again.candidates, strict=True):
        np.testing.assert_array_equal(one.answers["predict_proba"], other.answers["predict_proba"])
    assert multiclass.best.metrics == again.best.metrics


def test_a_class_of_few_rows_is_named(multiclass: mr.TrainResult) -> None:
    assert len(multiclass.classes) == 4
    assert multiclass.notes == [
        "classes with fewer than 10 rows: orchid; what is said of them is uncertain"
    ]


def test_names_that_are_no_texts() -> None:
    frame = houses(200).set_axis([0, 1, 2, 3, 4], axis=1)
    result = mr.train(frame, 4, progress=False)  # type: ignore[arg-type]
    assert [r.column for r in result.roles] == ["0", "1", "2", "3"]
    assert result.model.predict(frame.rename(columns=str)).shape == (200,)


def test_columns_without_names_of_their_own(tmp_path: Path) -> None:
    """A file without a header, its target last: the model takes an array too."""
    houses(200).drop(columns="town").to_csv(tmp_path / "houses.csv", index=False, header=False)
    from millrace.data import CsvOptions

    table = mr.scan(tmp_path / "houses.csv", csv=CsvOptions(header=False))
    result = mr.train(table, "x3", progress=False)
    assert result.model.predict(houses(5).to_numpy()[:, :3]).shape == (5,)


def test_columns_can_be_dropped_and_nested_ones_are_not_read() -> None:
    table = pa.Table.from_pandas(houses(200)).append_column("tags", pa.array([[1, 2]] * 200))
    result = mr.train(table, "price", drop=["noise"], progress=False)
    assert [r.column for r in result.roles] == ["rooms", "south", "town"]
    assert [n.split(", columns")[0] for n in result.notes] == ["tags: not read"]


def test_fifty_rows_are_enough() -> None:
    result = mr.train(flowers(53).query("kind != 'orchid'"), "kind", progress=False)
    assert 5 <= len(result.y) <= 15


@pytest.mark.parametrize(
    ("change", "target", "message"),
    [
        (lambda f: f, "prise", "did you mean 'price'"),
        (lambda f: f.assign(price=1.5), "price", "1.5"),
        (lambda f: f.assign(price="x"), "price", "at least two classes"),
        (lambda f: f.assign(price=np.nan), "price", "price|target"),
        (lambda f: f[["price"]], "price", "No column is left"),
        (lambda f: f.iloc[:0], "price", "no rows"),
        (lambda f: f.assign(price=pd.Timestamp("2024-01-01")), "price", "numbers, texts or"),
        (lambda f: f[["price"]].assign(row=range(len(f))), "price", "row: an identifier"),
    ],
    ids=["absent", "constant", "one class", "all missing", "alone", "empty", "dates", "only rows"],
)
def test_what_cannot_be_trained_on_is_refused(change: Any, target: str, message: str) -> None:
    with pytest.raises(FitError, match=message):
        mr.train(change(houses(60)), target, progress=False)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"drop": ["nose"]}, MissingColumnsError),
        ({"drop": ["price"]}, FitError),
        ({"task": "guess"}, ValueError),
        ({"test_fraction": 0.9}, ValueError),
        ({"task": "classification"}, FitError),
    ],
    ids=["no such column", "the target", "no such task", "too much held out", "each row a class"],
)
def test_options_that_make_no_sense_are_refused(options: Any, error: type[Exception]) -> None:
    frame = houses(60)
    if options.get("task") == "classification":
        frame = pd.concat([frame.assign(price=np.arange(60) + k / 7) for k in range(200)])
    with pytest.raises(error):
        mr.train(frame, "price", progress=False, **options)


def test_stages_are_told() -> None:
    class Told:
        def __init__(self) -> None:
            self.stages: list[str] = []
            self.sweeps: list[int] = []

        def stage(self, name: str) -> None:
            self.stages.append(name)

        def begin(self, number: int, asked: Any, n_rows: int | None) -> None:
            self.sweeps.append(number)

        def rows(self, done: int) -> None:
            assert 0 < done <= 100

        def end(self) -> None: ...

    told = Told()
    result = mr.train(houses(100), "price", progress=told)
    assert told.stages == list(result.seconds)
    assert told.sweeps == [s.number for s in result.report.sweeps]


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("name", "target", "rows", "least"),
    [
        ("adult_train.csv", "income", 1500, ("ROC AUC", 0.85)),
        ("pollution.csv", "pm2.5", 1500, ("R²", 0.2)),
        ("kddcup10.parquet", "label", 600, ("accuracy", 0.9)),
    ],
)
def test_real_tables(name: str, target: str, rows: int, least: tuple[str, float]) -> None:
    table = mr.scan(SHARED / name)
    frame = pa.Table.from_batches(table.batches()).to_pandas()
    if name.startswith("kdd"):  # a few classes, of which one has three rows
        frame = frame[frame["label"].isin(["normal", "smurf", "neptune", "back", "perl"])]
        rare = frame[frame["label"] == "perl"]
        frame = pd.concat([frame.sample(rows, random_state=0), rare]).drop_duplicates()
    else:
        frame = frame.sample(rows, random_state=0).sort_index()
    result = mr.train(frame, target, drop_missing_target=True, progress=False)
    assert result.best.metric(least[0]).value > least[1]
    assert result.model.info.verification is not None
    assert all(status == "native" for _, _, status, _ in result.model.info.steps)
    if name.startswith("pollution"):
        assert {r.column: r.part for r in result.roles}["No"] == "left out"
