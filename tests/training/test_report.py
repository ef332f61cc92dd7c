"""The report is one well-formed page that asks the network for nothing and shows what the result has."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import millrace as mr
from millrace.training import plots
from millrace.training.figures import INK, SERIES, drawn
from millrace.training.report import render
from millrace.training.words import distinct_shorts, number, seconds, share, short, size
from tests.training.conftest import AWKWARD

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Reads a page and complains of what is not well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "srcset", "data", "action"):
                self.references.append(value or "")
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(params=["binary", "multiclass", "regression"])
def result(request: pytest.FixtureRequest) -> mr.TrainResult:
    return request.getfixturevalue(request.param)


def test_the_page_stands_alone(result: mr.TrainResult) -> None:
    text = render(result)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(r.startswith("#") and r[1:] in page.ids for r in page.references)
    assert not re.search(r"https?:|//[a-z]|@import", text)
    assert page.tags.count("script") == 1
    assert len(text) < 500_000


def test_the_page_shows_the_figures_of_the_result(result: mr.TrainResult) -> None:
    text = Page(render(result)).text
    for candidate in result.candidates:
        for metric in candidate.metrics:
            assert number(metric.value) in text
            assert f"{number(metric.low)} to {number(metric.high)}" in text
    for role in result.roles:
        assert " ".join(role.column.split()) in text
        assert role.note in text
    assert result.verdict in text
    for note in result.notes:
        assert note in text
    for name, value in result.seconds.items():
        assert f"{name} {seconds(value)}" in text
    for found in (i.column for i in result.importances[:3]):
        assert short(found, 30) in text
    assert f"{len(result.report.sweeps)} sweeps over {number(result.report.n_rows)} rows" in text


def test_what_comes_from_the_data_is_escaped(binary: mr.TrainResult) -> None:
    text = render(binary)
    assert AWKWARD not in text
    assert "<script>alert" not in text
    page = Page(text)
    assert AWKWARD in page.text
    assert "<script>alert()</script>" in page.text
    assert "größe $x^2$" in page.text


def test_two_reports_are_equal(result: mr.TrainResult, tmp_path: Path) -> None:
    first = result.write_report(tmp_path / "one.html").read_bytes()
    assert result.write_report(tmp_path / "two.html").read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.html", "two.html"]


def test_the_files_and_their_commands_are_shown(binary: mr.TrainResult, tmp_path: Path) -> None:
    files = binary.save(tmp_path / "my income.mill")
    text = Page(render(binary, files)).text
    assert "millrace predict 'my income.mill' rows.csv --method predict_proba" in text
    assert "joblib.load('my income.joblib')" in text
    assert binary.model.info.provenance["training"]["fingerprint"] in text


def test_the_record_shown_can_be_predicted(result: mr.TrainResult) -> None:
    from millrace.training.report import _record

    record = eval(_record(result))
    used = [r.column for r in result.roles if r.part != "left out"]
    assert sorted(record) == sorted(used)
    method = "predict_one" if result.classes is None else "predict_proba_one"
    assert np.isfinite(getattr(result.model, method)(record)).all()


def test_plots_follow_the_task(result: mr.TrainResult) -> None:
    page = Page(render(result)).text
    of_classes, of_numbers = (
        ("ROC", "Calibration", "Confusion"),
        ("Residuals", "truth − prediction"),
    )
    shown, hidden = (of_numbers, of_classes) if result.classes is None else (of_classes, of_numbers)
    assert all(word in page for word in shown)
    assert not any(word in page for word in hidden)


def test_the_confusion_matrix_is_that_of_scikit_learn(multiclass: mr.TrainResult) -> None:
    counts = confusion_matrix(multiclass.y, multiclass.best.answers["predict"])
    shown = Page(plots.confusion_plot(multiclass)).words
    cells = [int(w) for w in shown if w.strip().isdigit()]
    assert sorted(cells) == sorted(counts[counts > 0].tolist())


def test_many_classes_are_taken_together() -> None:
    classes = np.array([f"class {i:02}" for i in range(40)])
    code = np.repeat(np.arange(40), np.arange(40) + 1)
    names, groups = plots._grouped(classes, code)
    assert len(names) == plots.CELLS
    assert names[-1] == f"{40 - plots.CELLS + 1} others"
    assert names[:-1] == classes[-(plots.CELLS - 1) :].tolist()
    assert (groups[: 40 - plots.CELLS + 1] == plots.CELLS - 1).all()


def test_a_curve_keeps_its_ends_and_its_shape() -> None:
    x = np.linspace(0, 1, 5000)
    xs, ys = plots._thinned(x, x**0.2)
    assert len(xs) <= plots.POINTS + 2
    assert (xs[0], xs[-1]) == (0.0, 1.0)
    np.testing.assert_allclose(np.interp(x[50:], xs, ys), x[50:] ** 0.2, atol=2e-3)


@pytest.mark.parametrize(
    "values", [[0, 1], [5], [-3, 7, 7], list(range(100)), [0.5, 0.25], [1e9, 1.0]], ids=str
)
def test_every_value_falls_in_a_bin(values: list[float]) -> None:
    found = np.asarray(values, np.float64)
    edges = plots._bins(found, 24)
    assert len(edges) <= 26
    assert np.histogram(found, edges)[0].sum() == len(found)


def test_a_figure_takes_the_colours_of_the_page() -> None:
    def draw(ax: Any) -> None:
        ax.plot([0, 1], color=SERIES[1])
        ax.text(0, 0, "$5 & <b>", color=INK)

    svg = drawn("one", 200, 100, draw)
    assert "var(--c2)" in svg
    assert "currentColor" in svg
    assert "#0102" not in svg
    assert "$5 & <b>" in Page(svg).text
    assert svg == drawn("one", 200, 100, draw)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.92513, "0.9251"),
        (12.3456, "12.35"),
        (1234567, "1,234,567"),
        (1234.5678, "1,235"),
        (-0.5, "−0.5000"),
        (1.23e-9, "1.230e−09"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (True, "True"),
        (0.0, "0"),
    ],
)
def test_numbers_are_rounded(value: float, text: str) -> None:
    assert number(value) == text


def test_other_words() -> None:
    assert [share(x) for x in (0, 1, 0.5, 0.9999, 0.003, 1e-9)] == [
        "0", "100 %", "50.0 %", "99.9 %", "0.30 %", "< 0.01 %",
    ]  # fmt: skip
    assert [seconds(x) for x in (0.123, 12.34, 125)] == ["0.12 s", "12.3 s", "2 min 5 s"]
    assert [size(x) for x in (12, 3400, 5.6e7)] == ["12 B", "3.4 KB", "56.0 MB"]
    assert short("a" * 50, 9) == "aaaaa…aaa"
    assert short("two\n lines") == "two lines"
    assert short("  ") == "(empty)"
    long = ["a" * 30 + "1" + "b" * 30, "a" * 30 + "2" + "b" * 30]
    assert len(set(distinct_shorts(long))) == 2
