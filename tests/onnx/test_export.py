"""Examples of the whole catalogue in ONNX Runtime, and what `to_onnx` takes and refuses.

Labels, codes, leaves and text are equal. Floats have these bounds, relative to the answer or to the
largest answer of the same output:

- 1e-12 where no arithmetic beside trees and float64 conversions is done (sums of leaves keep their
  order, and most answers have the same bits);
- otherwise 1e-9 where all arithmetic is float64 and 1e-4 where some of it is float32: matrix products
  and functions of ONNX Runtime round otherwise than NumPy's, by a few units in the last place of
  what they add up.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import millrace as mr
from millrace.backends.onnx import bind
from millrace.compiler import export_onnx
from millrace.compiler.export_onnx import to_onnx
from millrace.errors import ExportError, MissingDependencyError, ModelFileError
from millrace.ir import Program, infer
from millrace.ir.arrays import dense_array
from millrace.ir.ops import Binary, Distances, MatMul, Nearest, Reduce, Trees, Unary
from tests.conformance.cases import EXAMPLES, Case, case, outcome, quiet
from tests.conformance.rows import as_dtype, batches, textual
from tests.onnx.runtime import feeds, notes, run, session

PER_MODULE = 2
TREES = ("forests", "trees", "boosting", "histgb", "lightgbm", "xgboost", "catboost", "encoding")
PER_TREE_MODULE = 6

SAME, CLOSE, NARROW = 1e-12, 1e-9, 1e-4

HUGE = "beyond float32"
"""Rows of 1e39: what is left of a product of them with small numbers is rounding."""


def chosen() -> Iterator[str]:
    """A seeded selection of the examples of every module."""
    modules: dict[str, list[str]] = {}
    for name in EXAMPLES:
        modules.setdefault(name.split(":")[0], []).append(name)
    for module, names in sorted(modules.items()):
        many = any(word in module for word in TREES)
        count = PER_TREE_MODULE if many else PER_MODULE
        yield from sorted(random.Random(module).sample(names, min(count, len(names))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(chosen()))
def test_example(name: str, dtype: str) -> None:
    fitted = case(name)
    rows = fitted.rows.toarray() if hasattr(fitted.rows, "toarray") else fitted.rows
    try:
        model = fitted.model.to_onnx(dtype=dtype, text=handed_on(fitted, rows))
    except ExportError as error:
        assert_named(error, fitted.program)
        return
    loaded = session(model)
    for kind, batch, _ in awkward(fitted, rows):
        if kind == HUGE and bound(fitted.program, dtype) > SAME:
            continue
        with quiet():
            batch = cast(batch, dtype)
        compare(fitted, loaded, batch, bound(fitted.program, dtype), kind)


def handed_on(fitted: Case, rows: Any) -> list[str]:
    """The columns of text in a frame, which a model that only hands them on cannot know."""
    if not hasattr(rows, "iloc"):
        return []
    names = [c.name for c in fitted.program.columns]
    return [
        names[i]
        for i in textual(rows)
        if fitted.program.columns[i].categories is None
        and any(isinstance(cell, str) for cell in rows.iloc[:, i])
    ]


def awkward(fitted: Case, rows: Any) -> list[tuple[str, Any, bool]]:
    plain = getattr(rows, "ndim", 0) == 2 and not hasattr(fitted.rows, "toarray")
    return list(batches(fitted, rows)) if plain else [("own rows", rows, False)]


def cast(rows: Any, dtype: str) -> Any:
    numbers = hasattr(rows, "iloc") or getattr(rows, "dtype", np.dtype(object)).kind in "biuf"
    return as_dtype(rows, dtype) if numbers else rows


ARITHMETIC = (Unary, Binary, MatMul, Reduce, Distances, Nearest)


def bound(program: Program, dtype: str) -> float:
    """The bound on floats for rows of this dtype."""
    program = bind(program, dtype)
    types = infer(program, program.binding)
    computed = [
        {types[i].dtype for i in (position, *step.inputs)}
        for position, step in enumerate(program.steps)
        if isinstance(step.op, ARITHMETIC)
    ]
    if not computed:
        return SAME
    return NARROW if any("float32" in dtypes for dtypes in computed) else CLOSE


def compare(fitted: Case, loaded: Any, rows: Any, bound: float, kind: str) -> None:
    """Every method that the source answers; of no rows some sources lose the width."""
    ask = fitted.by_source if len(rows) else fitted.by_numba
    got, failed = outcome(
        lambda: dict(
            zip(
                [o.name for o in loaded.get_outputs()],
                loaded.run(None, feeds(loaded, fitted.program, rows)),
                strict=True,
            )
        )
    )
    for method in (m for m in fitted.methods if "(" not in m):
        expected, refused = outcome(lambda m=method: ask(m, rows))
        if refused is not None:
            continue
        assert failed is None, f"{kind}: {failed}"
        answers = expected if isinstance(expected, list) else [expected]
        names = [n for n in got if n.split("/")[0] == method]
        for name, answer in zip(names, answers, strict=True):
            close(answer, got[name], bound, fitted.example.absolute, f"{kind}, {name}")


def close(expected: Any, got: Any, bound: float, absolute: float, where: str) -> None:
    expected = dense_array(expected)
    assert expected.shape == got.shape, where
    if got.dtype == object:
        assert [str(v) for v in expected.ravel()] == [str(v) for v in got.ravel()], where
        return
    assert expected.dtype == got.dtype, where
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected, where)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    slack = absolute + bound * min(1e30, float(finite.max(initial=0.0)))
    np.testing.assert_allclose(got, expected, bound, slack, err_msg=where)


def assert_named(error: ExportError, program: Program) -> None:
    """A refusal names a primitive that the program has, and says what to do."""
    primitive = str(error).removeprefix("Cannot export ").split(" ")[0]
    assert primitive in {type(s.op).__name__ for s in program.steps}, str(error)
    assert str(error).endswith(".")
    assert str(error).count(". ") >= 1, "the remedy is a sentence of its own"


def test_the_selection_covers_every_module() -> None:
    assert {n.split(":")[0] for n in chosen()} == {n.split(":")[0] for n in EXAMPLES}


# -- the face ------------------------------------------------------------------------------
def numbers() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    return X, np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")


def forest() -> tuple[mr.CompiledModel, Any]:
    from sklearn.ensemble import RandomForestClassifier

    X, y = numbers()
    fitted = RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, y)
    return mr.compile(fitted, verify=False), X


def adult() -> tuple[mr.CompiledModel, Any]:
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    X, y = numbers()
    frame = pd.DataFrame(X, columns=["age", "pay", "unused"])
    frame["job"] = np.random.default_rng(1).choice(["clerk", "cook", "smith"], len(X))
    prepare = make_column_transformer(
        (SimpleImputer(), ["age", "pay"]), (OneHotEncoder(handle_unknown="ignore"), ["job"])
    )
    fitted = make_pipeline(prepare, LogisticRegression()).fit(frame, y)
    return mr.compile(fitted, verify=False), frame


def test_numbers_are_one_input_and_labels_are_words() -> None:
    model, X = forest()
    exported = model.to_onnx()
    assert [(i.name, i.type.tensor_type.elem_type) for i in exported.graph.input] == [("X", 1)]
    answers = run(exported, {"X": X.astype(np.float32)})
    assert set(answers) == set(model.methods)
    assert answers["predict"].tolist() == model.predict(X.astype(np.float32)).tolist()
    np.testing.assert_array_equal(
        answers["predict_proba"], model.predict_proba(X.astype(np.float32))
    )


def test_text_among_numbers_makes_one_input_a_column() -> None:
    model, frame = adult()
    exported = model.to_onnx(dtype="float64", methods="predict_proba")
    assert [i.name for i in exported.graph.input] == ["age", "pay", "job"]
    frame.loc[0, "job"], frame.loc[1, "age"] = "sailor", np.nan
    cells = {i.name: frame[[i.name]].to_numpy() for i in exported.graph.input}
    cells["job"] = cells["job"].astype(object)
    (answer,) = run(exported, cells).values()
    np.testing.assert_allclose(answer, model.predict_proba(frame), rtol=1e-12)


def test_the_file_holds_the_same_model_every_time(tmp_path: Path) -> None:
    model, _ = forest()
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    exported = model.to_onnx(path=first)
    mr.compile(model.source, verify=False).to_onnx(path=second)
    assert first.read_bytes() == second.read_bytes()
    assert onnx.load(first) == exported
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def test_a_loaded_model_can_be_exported(tmp_path: Path) -> None:
    model, X = forest()
    loaded = mr.load(model.save(tmp_path / "forest.mill"))
    answer = run(loaded.to_onnx(methods=["predict"]), {"X": X.astype(np.float32)})
    assert answer["predict"].tolist() == model.predict(X.astype(np.float32)).tolist()


def test_what_onnx_cannot_say_is_noted() -> None:
    model, _ = adult()
    said = notes(model.to_onnx())
    assert any("cannot raise" in n for n in said)
    assert all(n in model.to_onnx().doc_string for n in said)


def test_multi_output_probabilities_are_numbered() -> None:
    from sklearn.tree import DecisionTreeClassifier

    X, y = numbers()
    fitted = DecisionTreeClassifier(max_depth=3).fit(X, np.stack([y, y[::-1]], axis=1))
    exported = mr.compile(fitted, verify=False).to_onnx(methods="predict_proba")
    assert [o.name for o in exported.graph.output] == ["predict_proba/0", "predict_proba/1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"methods": "transform"}, "'transform': the model has no such method"),
        ({"methods": []}, "methods=\\[\\]"),
        ({"text": ["job", "jobs"]}, "text=\\['job', 'jobs'\\]"),
        ({"text": "job"}, "text='job'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    model, _ = adult()
    with pytest.raises(ExportError, match=message):
        model.to_onnx(**options)


def test_without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = forest()
    monkeypatch.setattr(export_onnx, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"millrace\[onnx\]"):
        to_onnx(model)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    model, _ = forest()
    with pytest.raises(ModelFileError, match="Could not write"):
        model.to_onnx(path=tmp_path / "none" / "model.onnx")


def test_a_model_too_large_for_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = forest()
    monkeypatch.setattr(export_onnx, "_LARGEST", 1000)
    with pytest.raises(ExportError, match="less than 2 GiB"):
        model.to_onnx()


def test_trees_stay_one_operator() -> None:
    model, _ = forest()
    exported = model.to_onnx(methods="predict_proba")
    assert [n.op_type for n in exported.graph.node].count("TreeEnsemble") == 1
    assert any(isinstance(s.op, Trees) for s in model.program.steps)
