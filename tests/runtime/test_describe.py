"""describe() says what became what, in text and in HTML."""

from __future__ import annotations

import html
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import millrace as mr
from tests.runtime.models import boosted, matrix, model, ordinals, pipeline


def test_the_text() -> None:
    compiled = mr.compile(pipeline())
    lines = str(compiled.describe()).splitlines()
    assert lines[0] == "compiled sklearn.pipeline.Pipeline"
    facts = {line[2:19].strip(): line[19:] for line in lines[1 : lines.index("steps")]}
    assert facts["columns read"] == "3: age, hours, work"
    assert facts["columns not read"] == "1: id"
    assert facts["methods"].startswith("predict, predict_proba")
    n_leaves = sum(t.tree_.n_leaves for t in pipeline()[-1].estimators_)
    assert facts["trees"] == f"10 with {n_leaves} leaves"
    assert facts["verified"].startswith("the same bits on ")
    assert "scikit-learn" in facts["compiled with"] or "sklearn" in facts["compiled with"]
    steps = [line.split() for line in lines[lines.index("steps") + 1 :]]
    assert ["randomforestclassifier", "RandomForestClassifier", "native"] in steps
    assert ["columntransformer/pipeline-1/simpleimputer", "SimpleImputer", "native"] in steps


def test_the_numbers() -> None:
    described = model(boosted).describe()
    assert described.n_trees == 6 * 3
    assert described.n_primitives == len(model(boosted).program.steps)
    assert described.columns_read == ("x0", "x1", "x2", "x3")
    assert described.columns_ignored == ()
    assert described.fully_native
    forest_bytes = 18 * 8 * 8
    assert described.n_bytes > forest_bytes
    assert model(ordinals).describe().n_trees == 0
    assert "trees" not in str(model(ordinals).describe()).split("steps")[0]


def test_it_shows_itself() -> None:
    described = model(boosted).describe()
    assert repr(described) == str(described)
    assert repr(model(boosted)).startswith(
        "CompiledModel(sklearn.ensemble.HistGradientBoostingClassifier, methods=['predict'"
    )
    assert model(boosted)._repr_html_() == described._repr_html_()


class Cells(HTMLParser):
    """The text of all cells; every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def test_the_html() -> None:
    parser = Cells()
    parser.feed(model(pipeline).describe()._repr_html_())
    parser.close()
    assert parser.open == []
    assert "randomforestclassifier" in parser.cells
    assert "sklearn.ensemble.RandomForestClassifier" in parser.cells
    assert "3: age, hours, work" in parser.cells


def test_names_are_escaped_in_html() -> None:
    X = np.nan_to_num(matrix(40))
    name = "<script>alert('x')</script> & more"
    fitted = Pipeline([(name, FunctionTransformer(lambda x: x + 1)), ("end", LogisticRegression())])
    described = mr.compile(fitted.fit(X, X[:, 0] > 0), verify=False).describe()
    assert name in str(described)
    assert "<script>" not in described._repr_html_()
    assert html.escape(name) in described._repr_html_()
    parser = Cells()
    parser.feed(described._repr_html_())
    assert name in parser.cells


def test_many_columns_are_shortened() -> None:
    X = np.random.default_rng(0).normal(size=(60, 40))
    compiled = mr.compile(LogisticRegression().fit(X, X[:, 0] > 0), verify=False)
    assert "40: x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11 and 28 more" in str(
        compiled.describe()
    )


@pytest.mark.parametrize("make", [boosted, pipeline, ordinals], ids=lambda m: m.__name__)
def test_a_loaded_model_describes_itself_alike(make: object, tmp_path: object) -> None:
    loaded = mr.load(model(make).save(tmp_path / "model.mill"))
    assert str(loaded.describe()) == str(model(make).describe())
