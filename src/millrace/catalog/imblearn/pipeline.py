"""Pipelines with samplers, which do nothing once the pipeline is fitted.

Semantics matched: ``imblearn/pipeline.py`` of imbalanced-learn 0.14.2 (``Pipeline._iter`` leaves out the
steps that have ``fit_resample``).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np

from millrace.catalog.registry import BLAS_ORDER, Context, Example, Outputs, converts
from millrace.catalog.sklearn._examples import example_labels, example_rows
from millrace.catalog.sklearn.compose import _first_columns, pipeline
from millrace.ir.build import Value


def without_samplers(source: Any) -> Any:
    """The same pipeline with the steps that take part in a prediction."""
    bare = copy(source)
    bare.steps = [(name, step) for name, step in source.steps if not is_sampler(step)]
    return bare


def is_sampler(step: Any) -> bool:
    """Whether a step works on the rows of ``fit`` only."""
    return hasattr(step, "fit_resample")


@converts(
    "imblearn.pipeline.Pipeline",
    columns=lambda source: _first_columns([s for _, s in source.steps], "Pipeline"),
)
def imblearn_pipeline(source: Any, x: Value, context: Context) -> Outputs:
    """The steps one after another, without the samplers.

    Exactness and missing values: those of the steps.
    """
    return pipeline(without_samplers(source), x, context)


# -- examples ------------------------------------------------------------------------------


def _example(sampler: str, rows: str = "plain") -> Example:
    def make() -> tuple[Any, Any]:
        import imblearn.over_sampling
        import imblearn.under_sampling
        from imblearn.pipeline import make_pipeline
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        x, signal = example_rows(2, rows, 120)
        y = example_labels(signal - 0.8 * np.sign(signal), ["often", "rare", "seldom"])
        module = imblearn.under_sampling if "Under" in sampler else imblearn.over_sampling
        resample = getattr(module, sampler)(random_state=0)
        steps = (StandardScaler(), "passthrough", resample, LogisticRegression())
        return make_pipeline(*steps).fit(x, y), x

    return Example(
        f"Pipeline with {sampler}, {rows} rows",
        make,
        ulp=64,
        absolute=1e-12,
        why=f"the linear model at the end: {BLAS_ORDER}",
    )


def examples() -> Iterator[Example]:
    """Samplers that add rows and that leave rows out."""
    if importlib.util.find_spec("imblearn") is None:
        return
    yield _example("SMOTE", "named")
    yield _example("RandomUnderSampler")
