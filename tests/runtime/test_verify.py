"""Verification catches a program that is wrong by one float, one leaf or one direction."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

import millrace as mr
from millrace.compiler.link import link
from millrace.errors import VerificationError
from millrace.ir import Array, Forest, Leaves, Program, Trees
from tests.runtime.models import boosted, matrix, model, people, pipeline

N_BREAKS = 6


@cache
def averaged() -> Any:
    X = np.nan_to_num(matrix())
    return RandomForestRegressor(5, max_leaf_nodes=12, random_state=0).fit(X, X[:, 0] * X[:, 1])


@cache
def lightgbm() -> Any:
    import lightgbm as lgb

    options = {"objective": "regression", "num_leaves": 8, "verbose": -1, "num_threads": 1}
    y = np.nan_to_num(matrix()[:, 0] + matrix()[:, 2])
    return lgb.train(options, lgb.Dataset(matrix(), y), num_boost_round=5)


SOURCES = {"boosted": boosted, "averaged": averaged, "lightgbm": lightgbm, "pipeline": pipeline}
MISSING = {k: SOURCES[k] for k in ("boosted", "lightgbm")}


def broken(make: Callable[[], Any], change: Callable[[Forest], Forest]) -> mr.CompiledModel:
    """The compiled model with another forest in it."""
    right = model(make)
    changed: dict[int, Forest] = {}
    steps = []
    for step in right.program.steps:
        if isinstance(step.op, (Trees, Leaves)):
            forest = changed.setdefault(id(step.op.forest), change(step.op.forest))
            step = replace(step, op=type(step.op)(forest))
        steps.append(step)
    program: Program = replace(right.program, steps=tuple(steps))
    assert program != right.program
    return link(program, right.info, source=make())


def some(places: Any, number: int) -> int:
    """One of the places, another one for each number."""
    return int(np.random.default_rng(5).permutation(np.flatnonzero(places))[number])


def changed(array: Array, position: Any, value: Any) -> Array:
    values = array.values.copy()
    values[position] = value
    return Array(values)


def caught(wrong: mr.CompiledModel) -> None:
    with pytest.raises(VerificationError, match="DIFFERS") as error:
        wrong.verify()
    assert "Do not use it" in str(error.value)
    assert error.value.report.differences


@pytest.mark.parametrize("number", range(N_BREAKS))
@pytest.mark.parametrize("name", SOURCES)
def test_a_threshold_moved_by_one_float(name: str, number: int) -> None:
    """By one float32 where the source reads its rows in float32."""

    def move(forest: Forest) -> Forest:
        threshold = forest.threshold.values
        node = some((forest.feature.values >= 0) & (threshold != 0.5), number)  # no one-hot column
        threshold = threshold[node]
        if name in ("averaged", "pipeline"):
            moved = np.float64(np.nextafter(np.float32(threshold), np.float32(np.inf)))
        else:
            moved = np.nextafter(threshold, np.inf)
        assert moved > threshold
        return replace(forest, threshold=changed(forest.threshold, node, moved))

    caught(broken(SOURCES[name], move))


@pytest.mark.parametrize("number", range(N_BREAKS))
@pytest.mark.parametrize("name", SOURCES)
def test_a_leaf_value_changed(name: str, number: int) -> None:
    def change(forest: Forest) -> Forest:
        leaf = some(np.ones(len(forest.value)), number)
        value = forest.value.values[leaf] * 1.001 + 1e-6
        return replace(forest, value=changed(forest.value, leaf, value))

    caught(broken(SOURCES[name], change))


@pytest.mark.parametrize("number", range(N_BREAKS))
@pytest.mark.parametrize("name", MISSING)
def test_a_default_direction_flipped(name: str, number: int) -> None:
    def flip(forest: Forest) -> Forest:
        node = some((forest.feature.values >= 0) & (forest.missing.values == 1), number)
        flipped = not forest.default_left.values[node]
        return replace(forest, default_left=changed(forest.default_left, node, flipped))

    caught(broken(SOURCES[name], flip))


def test_two_children_swapped() -> None:
    def swap(forest: Forest) -> Forest:
        node = some(forest.feature.values >= 0, 0)
        left, right = forest.left.values[node], forest.right.values[node]
        return replace(
            forest, left=changed(forest.left, node, right), right=changed(forest.right, node, left)
        )

    caught(broken(boosted, swap))


def test_a_leaf_that_carries_another_name() -> None:
    """Only `apply` tells."""

    def rename(forest: Forest) -> Forest:
        return replace(forest, leaf_id=changed(forest.leaf_id, 3, forest.leaf_id.values[3] + 1))

    wrong = broken(averaged, rename)
    report = wrong.verify(raise_on_difference=False)
    assert {d.method for d in report.differences} == {"apply"}


def test_what_only_the_sample_shows() -> None:
    """A category that the compiled model does not know: the words of the sample are tried."""
    right = model(pipeline)
    frame = people(60)
    assert right.verify(frame, seconds=0.5).rows["sample"] == 60
    wrong = link(right.program, right.info, source=pipeline())
    frame.loc[7, "work"] = "nowhere"
    assert wrong.verify(frame, seconds=0.5)


def test_a_report_instead_of_an_error() -> None:
    def shift(forest: Forest) -> Forest:
        return replace(forest, base=Array(forest.base.values + 1.0))

    report = broken(lightgbm, shift).verify(matrix(30), raise_on_difference=False)
    assert not report
    assert report.summary.endswith("rows")
    difference = report.differences[0]
    assert (difference.method, difference.kind, difference.row) == ("predict", "sample", 0)
    assert float(difference.expected.removeprefix("np.float64(")[:-1]) == pytest.approx(
        float(difference.got.removeprefix("np.float64(")[:-1]) - 1.0
    )
    assert f"DIFFERS: predict on sample rows, row 0: source {difference.expected}" in str(report)
    assert str(matrix(30)[0, 0])[:8] in difference.input
    assert json.loads(json.dumps(report.as_dict()))["differences"][0]["method"] == "predict"


def test_compile_raises_where_the_program_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one class alone: what is added to all of them at once, probabilities do not show."""

    def shifted(forest: Forest) -> Forest:
        base = forest.base.values.copy()
        base[0] += 1.0
        return replace(forest, base=Array(base))

    def wrong(program: Program) -> Program:
        steps = [
            replace(s, op=Trees(shifted(s.op.forest))) if isinstance(s.op, Trees) else s
            for s in program.steps
        ]
        return replace(program, steps=tuple(steps))

    monkeypatch.setattr("millrace.compiler.build.simplify", wrong)
    with pytest.raises(VerificationError):
        mr.compile(boosted())
    assert mr.compile(boosted(), verify=False).predict(matrix(3)).shape == (3,)


@pytest.mark.parametrize("name", SOURCES)
def test_the_report_of_a_right_model(name: str) -> None:
    report = model(SOURCES[name]).verify(seconds=0.5)
    assert report
    assert report.differences == []
    assert report.largest_ulp == 0
    assert report.summary.startswith("the same bits on ")
    assert report.rows["boundary"] >= 64
    assert report.seconds < 5
    assert set(report.methods) >= set(model(SOURCES[name]).methods)
    assert ("missing" in report.rows) != ("missing" in report.refused)


def test_the_time_limit() -> None:
    report = model(boosted).verify(seconds=0.0)
    assert report
    assert report.seconds < 2
