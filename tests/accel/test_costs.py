"""What a call is expected to take: between measured sizes, beyond them, and at its first use."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from millrace.accel import costs, machine, measure

TABLE = {
    "a.B": {
        "fit": [
            [100, 10, 0.001, 0.004],
            [10_000, 10, 0.1, 0.01],
            [100, 40, 0.002, 0.004],
            [10_000, 40, 0.8, 0.02],
        ]
    }
}
SHIPPED: dict[str, dict[str, Any]] = json.loads(
    resources.files("millrace.accel").joinpath("costs.json").read_text()
)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A table of one class, and a process that has used nothing."""
    points = {
        n: {m: costs._measured(p, 1.0, 1.0) for m, p in ms.items()} for n, ms in TABLE.items()
    }
    monkeypatch.setattr(costs, "_table", lambda: points)
    monkeypatch.setattr(costs, "_USED", costs._Used())
    return iter(())


def at(rows: int, columns: int) -> costs.Estimate:
    found = costs.estimate("a.B", "fit", rows, columns)
    assert found is not None
    return found


@pytest.mark.parametrize("point", TABLE["a.B"]["fit"], ids=str)
def test_measured_sizes_are_as_measured(table: None, point: list[float]) -> None:
    rows, columns, theirs, ours = point
    found = at(int(rows), int(columns))
    assert (found.theirs, found.ours) == pytest.approx((theirs, ours))


def test_between_sizes_logarithms_are_linear(table: None) -> None:
    assert at(1_000, 10).theirs == pytest.approx(0.01)
    assert at(1_000, 20).theirs == pytest.approx(math.sqrt(0.01 * 0.04))
    assert at(10_000, 20).ours == pytest.approx(math.sqrt(0.01 * 0.02))


def test_beyond_the_largest_size_seconds_grow_with_the_rows(table: None) -> None:
    assert at(100_000, 10).theirs == pytest.approx(1.0)
    assert at(10_000, 3).theirs == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(99, 10), (10_000, 200), (10_000, 0)], ids=str)
def test_nothing_is_said_of_other_sizes(table: None, shape: tuple[int, int]) -> None:
    assert costs.estimate("a.B", "fit", *shape) is None


def test_unmeasured_methods_are_hopeless(table: None) -> None:
    assert costs.is_known("a.B", "fit")
    assert not costs.is_known("a.B", "predict")
    assert costs.estimate("a.B", "predict", 10_000, 10) is None
    assert [costs.is_hopeless("a.B", "fit", n) for n in (99, 100)] == [True, False]
    assert costs.is_hopeless("a.C", "fit", 10**9)


def test_the_first_use_is_paid_by_gains_that_were_forgone(table: None) -> None:
    one = costs.Estimate(0.1, 0.0)
    enough = math.ceil((costs.COLD + costs.COLD_CLASS) / 0.1 - 1e-9)
    found = [costs.pays("a.B", "fit", one) for _ in range(enough + 1)]
    assert found == [False] * (enough - 1) + [True, True]
    second = math.ceil(costs.COLD_CLASS / 0.1 - 1e-9)
    found = [costs.pays("a.B", "predict", one) for _ in range(second + 1)]
    assert found == [False] * (second - 1) + [True, True]


def test_a_long_call_pays_at_once(table: None) -> None:
    assert costs.pays("a.B", "fit", costs.Estimate(5.0, 1.0))


def test_factors_of_a_machine_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "cache_file", lambda: tmp_path / "millrace" / "costs.json")
    machine.factors.cache_clear()
    try:
        assert machine.factors() == (1.0, 1.0)
        path = machine.keep(2.0, 0.5)
        machine.factors.cache_clear()
        assert machine.factors() == (2.0, 0.5)
        for damaged in ("", "[]", '{"theirs": 1.0}', '{"theirs": -1.0, "ours": 1.0}'):
            path.write_text(damaged)
            machine.factors.cache_clear()
            assert machine.factors() == (1.0, 1.0), damaged
    finally:
        machine.factors.cache_clear()


def test_factors_turn_the_balance() -> None:
    points = TABLE["a.B"]["fit"]
    assert costs._measured(points, 1.0, 1.0).least == 100
    assert costs._measured(points, 1.0, 100.0).least > 10_000


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_of_public_classes_and_gains(name: str) -> None:
    import sklearn.experimental.enable_iterative_imputer  # noqa: F401

    from millrace.accel.doors import public_name_of

    module, _, own = name.rpartition(".")
    cls = getattr(importlib.import_module(module), own, None)
    assert module == "sklearn.feature_extraction" or public_name_of(cls) == name  # type: ignore[arg-type]
    for method, points in SHIPPED[name].items():
        assert all(n > 0 and p > 0 and a > 0.0 and b > 0.0 for n, p, a, b in points)
        assert method == "fit" or any(a > costs.MARGIN * b for _, _, a, b in points)


def test_this_machine_is_measured_against_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    points = costs._measured([[1_000, 20, 1.0, 0.5], [10_000, 20, 1.0, 0.5]], 1.0, 1.0)
    probes = {f"{module}.{name}": {"fit": points} for module, name in measure.PROBES}
    monkeypatch.setattr(costs, "_table", lambda: probes)
    monkeypatch.setattr(machine, "cache_file", lambda: tmp_path / "costs.json")
    monkeypatch.setattr(machine, "factors", lambda: (1.0, 1.0))
    monkeypatch.setattr(measure, "_seconds", lambda *_: (0.2, 0.05))
    path = measure.measure()
    assert path is not None
    assert json.loads(path.read_text()) == pytest.approx({"theirs": 0.2, "ours": 0.1})
    monkeypatch.setattr(costs, "_table", dict)
    assert measure.measure() is None
