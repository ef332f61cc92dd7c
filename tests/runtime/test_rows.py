"""One row at a time answers as the whole table does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import millrace as mr
from millrace.errors import InputError, MethodMissingError, MissingColumnsError, ShapeError
from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, case, outcome, quiet
from tests.conformance.compare import difference
from tests.conformance.test_containers import without_none
from tests.runtime.models import boosted, matrix, model, ordinals, people, pipeline, strict_frame

NATIVE = [name for name in EXAMPLES if EXAMPLES[name].native]


def first_of(answer: Any, i: int) -> Any:
    if isinstance(answer, list):
        return [a[i] for a in answer]
    return answer[[i]] if hasattr(answer, "toarray") else answer[i]


def forms(rows: Any, i: int) -> dict[str, Any]:
    """One row in every form that a row function takes."""
    if not isinstance(rows, pd.DataFrame):
        return {"array": rows[i], "list": rows[i].tolist(), "tuple": tuple(rows[i].tolist())}
    cells = [rows.iloc[i, c] for c in range(rows.shape[1])]
    backwards = dict(reversed(list(zip(rows.columns, cells, strict=True))))
    return {
        "dict": dict(zip(rows.columns, cells, strict=True)),
        "another order": backwards,
        "tuple": tuple(cells),
        "list": cells,
    }


@pytest.mark.parametrize("name", NATIVE)
def test_every_example(name: str) -> None:
    """Each form of a row against the table of that row, within the bound where a BLAS adds up."""
    found = case(name)
    if not make.is_table(found.rows):
        pytest.skip("its input is no table")
    rows = without_none(found, make.first(found.rows, 4))
    if make.numeric(rows):  # a list holds Python's floats, which are float64
        rows = make.as_dtype(rows, "float64")
    bound = (found.example.ulp, found.example.absolute)
    problems = []
    for method in found.methods:
        with quiet():
            prepared = found.model.row_function(method)
            for i in range(len(rows)):
                table = make.take(rows, np.array([i]))
                whole, refused = outcome(lambda m=method, t=table: found.model.call(m, t))
                for form, row in forms(rows, i).items():
                    got, error = outcome(lambda f=prepared, r=row: f(r))
                    problem = None
                    if refused is None and error is None:
                        if str(getattr(first_of(whole, 0), "dtype", "")) == "object":
                            got = np.asarray(got, dtype=object)  # a dict has no dtypes to keep
                        problem = difference(np_like(first_of(whole, 0)), np_like(got), *bound)
                    elif refused is None or error is None:
                        problem = f"{error!r}, the table: {refused!r}"
                    if problem:
                        problems.append(f"{method} of {form} {i}: {problem}")
    assert not problems, "\n".join(problems[:6])


def np_like(answer: Any) -> Any:
    if isinstance(answer, list):
        return [np_like(a) for a in answer]
    return answer if hasattr(answer, "toarray") else np.asarray(answer)


def test_none_in_a_column_of_text() -> None:
    """In dicts None is a null: missing, alone in its column as among words; elsewhere it is None."""
    from sklearn.preprocessing import OrdinalEncoder

    words = np.array([["a"], ["b"], [np.nan]], dtype=object)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(words)
    compiled = mr.compile(encoder)
    table = compiled.transform(np.array([["a"], [None]], dtype=object))
    assert table[1, 0] == encoder.transform(np.array([[None]], dtype=object))[0, 0] == -1
    assert np.isnan(encoder.transform(np.array([[np.nan]], dtype=object))[0, 0])
    assert np.isnan(compiled.transform([{"x0": "a"}, {"x0": None}])[1, 0])
    assert np.isnan(compiled.transform([{"x0": None}])[0, 0])
    assert np.isnan(compiled.row_function("transform")({"x0": None})[0])


def test_predict_one_returns_what_predict_holds() -> None:
    frame = people(30)
    expected = model(pipeline).predict(frame)
    for i, row in enumerate(frame.to_dict("records")):
        one = model(pipeline).predict_one(row)
        assert one == expected[i]
        assert type(one) is type(expected[i])


def test_predict_proba_one() -> None:
    expected = model(boosted).predict_proba(matrix(30))
    for row, answer in zip(matrix(30), expected, strict=True):
        one = model(boosted).predict_proba_one(row)
        assert one.shape == (3,)
        assert not difference(answer, one)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "bool", ">f8", "object"])
def test_array_rows_of_any_dtype(dtype: str) -> None:
    rows = np.nan_to_num(matrix(12) * 3).astype(dtype)
    expected = boosted().predict_proba(rows)
    function = model(boosted).row_function("predict_proba")
    assert not difference(expected, np.array([function(r) for r in rows]))
    again = model(boosted).row_function("predict_proba")  # the first call prepares, the others not
    assert not difference(expected, np.array([again(r) for r in rows]))


def test_odd_cells_in_a_dict() -> None:
    frame = people(12)
    odd = [
        {"age": None},
        {"work": None},
        {"work": np.nan},
        {"work": "unseen"},
        {"age": 7},
        {"hours": np.float32(41.5)},
        {"age": True},
        {"work": ""},
        {"id": "not read"},
    ]
    rows = [{**frame.iloc[i].to_dict(), **change} for i, change in enumerate(odd)]
    for row in rows:
        cells = {k: np.nan if v is None else v for k, v in row.items()}
        table = pd.DataFrame([cells]).astype({"age": float, "hours": float, "work": object})
        assert not difference(
            pipeline().predict_proba(table)[0], model(pipeline).predict_proba_one(row)
        )


def test_a_dict_may_lack_what_is_not_read_and_hold_more() -> None:
    row = people(5).iloc[1].to_dict()
    expected = model(pipeline).predict_one(row)
    del row["id"]
    assert model(pipeline).predict_one(row) == expected
    assert model(pipeline).predict_one({**row, "more": 1}) == expected


def test_missing_keys_are_named() -> None:
    row = people(5).iloc[1].to_dict()
    row["hour"] = row.pop("hours")
    with pytest.raises(MissingColumnsError, match=r"'hours' \(did you mean 'hour'\?\)"):
        model(pipeline).predict_one(row)
    with pytest.raises(MissingColumnsError, match="lacks 3 column"):
        model(pipeline).predict_one({})


@pytest.mark.parametrize("width", [0, 3, 5])
@pytest.mark.parametrize("convert", [np.asarray, list, tuple], ids=["array", "list", "tuple"])
def test_rows_of_another_width(width: int, convert: Any) -> None:
    with pytest.raises(ShapeError, match=f"has {width} column"):
        model(boosted).predict_one(convert(np.zeros(width)))
    function = model(boosted).row_function()
    function(convert(np.zeros(4)))  # also when it is prepared
    with pytest.raises(ShapeError, match=f"has {width} column"):
        function(convert(np.zeros(width)))


def test_text_in_a_row() -> None:
    with pytest.raises(InputError, match=r"'hours' must be numeric.*'many'"):
        model(pipeline).predict_one({**people(5).iloc[1].to_dict(), "hours": "many"})


def test_a_refused_row_is_refused_alone_too() -> None:
    from sklearn.ensemble import RandomForestRegressor

    X = np.nan_to_num(matrix(80))
    fitted = RandomForestRegressor(3, max_leaf_nodes=5, random_state=0).fit(X, X[:, 0])
    compiled = mr.compile(fitted, verify=False)
    bad = X[3].copy()
    bad[0] = np.inf
    for _ in range(2):
        with pytest.raises(InputError, match=r"'x0' holds inf in row 0"):
            compiled.predict_one(bad)
        assert compiled.predict_one(X[3]) == fitted.predict(X[3:4])[0]


def test_a_row_of_a_pandas_frame() -> None:
    frame = people(8)
    for i in range(8):
        assert model(pipeline).predict_one(frame.iloc[i]) == pipeline().predict(frame)[i]
    rows = pd.DataFrame(matrix(8))
    assert model(boosted).predict_one(rows.iloc[3]) == boosted().predict(matrix(8))[3]


def test_a_table_of_one_row() -> None:
    expected = model(boosted).predict(matrix(8))
    for rows in (matrix(8)[3:4], pd.DataFrame(matrix(8))[3:4]):
        assert model(boosted).predict_one(rows) == expected[3]


def test_which_method() -> None:
    assert model(boosted).row_function().method == "predict"
    assert model(ordinals).row_function().method == "transform"
    row = people(5).iloc[1].to_dict()
    expected = ordinals().transform(people(5))[1]
    assert not difference(expected, model(ordinals).row_function()(row))
    with pytest.raises(MethodMissingError, match="predict"):
        model(ordinals).predict_one(row)
    with pytest.raises(MethodMissingError, match="transform"):
        model(boosted).row_function("transform")


def test_rows_of_a_loaded_model(tmp_path: Any) -> None:
    loaded = mr.load(model(strict_frame).save(tmp_path / "model.mill"))
    frame = people(20)[["age", "hours"]]
    expected = strict_frame().predict_proba(frame)
    got = np.array([loaded.predict_proba_one(r) for r in frame.to_dict("records")])
    assert not difference(expected, got)
