"""A fitted object -> a verified compiled model: catalog, rewrites, backend, verification."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.backends.reference import run
from millrace.catalog import Translation, translate
from millrace.catalog.registry import public_name
from millrace.catalog.translate import Sample, reading
from millrace.compiler.link import link
from millrace.errors import MissingColumnsError
from millrace.ir.program import Program
from millrace.rewrites import simplify
from millrace.runtime.derived import with_parts
from millrace.runtime.inputs import FLAT, adapt, is_sparse
from millrace.runtime.model import CompiledModel, ModelInfo
from millrace.runtime.samples import first, for_source

if TYPE_CHECKING:
    from millrace.data.derive import Derived

VERIFY_SECONDS = 0.25
"""Time that `compile` gives the rows that verification makes up; `model.verify` takes longer."""


def compile(
    fitted: Any,
    *,
    sample: Any = None,
    verify: bool = True,
    derived: Mapping[str, Derived] | None = None,
) -> CompiledModel:
    """Compile a fitted object into a small exact program for this CPU.

    Parameters
    ----------
    fitted : object
        A fitted scikit-learn estimator or pipeline, or a LightGBM, XGBoost or CatBoost model.
        What has no converter is called as it is; `CompiledModel.describe` says so.
    sample : table-like, optional
        Real rows of the kind that it was fitted on, for the verification.
    verify : bool
        Compare with the source on rows made from the model itself (every kind of boundary, missing and
        unseen values; bounded to a fraction of a second) and on the sample.
    derived : mapping of str to Derived, optional
        Columns that it was fitted on and that are parts of a date: the model computes them itself where
        rows have the date instead. The sample may have either.

    Returns
    -------
    CompiledModel

    Raises
    ------
    UnfittedModelError
        Not fitted.
    UnsupportedModelError
        A step can neither be converted nor called.
    VerificationError
        The compiled model does not answer as the source does.
    """
    few = None
    if sample is not None:
        table = reading(fitted)
        sample = for_source(sample, table.form)
        if derived:
            sample = with_parts(sample, derived, [c.name for c in table.columns])
        few = _first_rows(fitted, table, sample)
    translation = translate(fitted, few)
    translation = replace(translation, program=simplify(translation.program))
    info = replace(_info(fitted, translation), derived=_known(derived or {}, translation.program))
    model = link(translation.program, info, translation.foreign, fitted)
    if verify:
        report = model.verify(sample, seconds=VERIFY_SECONDS)
        model.info = replace(model.info, verification=report.as_dict())
    return model


def _known(derived: Mapping[str, Derived], program: Program) -> dict[str, Derived]:
    """What is derived, each of them a column of the program.

    Raises
    ------
    MissingColumnsError
    """
    names = [c.name for c in program.columns] if program.named else []
    if unknown := [name for name in derived if name not in names]:
        raise MissingColumnsError.of(unknown, names)
    return dict(derived)


def _first_rows(fitted: Any, table: Program, rows: Any) -> Sample:
    """The first rows of a sample, for foreign steps; `table` is the program that reads them."""
    few = first(rows, 8)
    if is_sparse(few):
        few = few.toarray() if hasattr(few, "toarray") else few.sparse.to_dense()
    batch = adapt(few, table, ignore_extra=True, flat=public_name(type(fitted)) == FLAT)
    cells = [
        c if isinstance(c, np.ndarray) else c.to_pandas().to_numpy(object)
        for c in batch.columns
        if c is not None
    ]
    return Sample(cells, lambda program, columns, foreign: run(program, columns, foreign))


def _info(fitted: Any, translation: Translation) -> ModelInfo:
    return ModelInfo(
        source=public_name(type(fitted)),
        classes=_classes(fitted),
        feature_names=tuple(c.name for c in translation.program.columns)
        if translation.program.named
        else None,
        feature_names_out=_feature_names_out(fitted),
        ignore_extra=_ignores_extra(fitted),
        estimator_type=_estimator_type(fitted),
        output=_output_container(fitted),
        steps=translation.steps,
        notes=translation.notes,
        provenance={
            "versions": _versions(translation),
            "python": platform.python_version(),
            "compiled": datetime.now(UTC).isoformat(timespec="seconds"),
            "bounds": [asdict(b) for b in translation.bounds],
        },
    )


def _classes(fitted: Any) -> Any:
    try:
        classes = fitted.classes_
    except AttributeError:
        return None
    if isinstance(classes, list):
        return [np.asarray(c) for c in classes]
    return None if classes is None else np.asarray(classes)


def _feature_names_out(fitted: Any) -> tuple[str, ...] | None:
    if not hasattr(fitted, "transform") or not hasattr(fitted, "get_feature_names_out"):
        return None
    try:
        return tuple(str(n) for n in fitted.get_feature_names_out())
    except (ValueError, AttributeError, TypeError):
        return None


def _estimator_type(fitted: Any) -> str | None:
    try:
        return fitted.__sklearn_tags__().estimator_type
    except AttributeError:
        return getattr(fitted, "_estimator_type", None)


def _output_container(fitted: Any) -> str:
    """What ``set_output`` (or the global setting) chose for ``transform``."""
    from sklearn.utils._set_output import _get_output_config

    while hasattr(fitted, "steps") and fitted.steps[-1][1] not in (None, "passthrough"):
        fitted = fitted.steps[-1][1]
    if not hasattr(fitted, "set_output"):
        return "default"
    return str(_get_output_config("transform", fitted)["dense"])


def _ignores_extra(fitted: Any) -> bool:
    """A ColumnTransformer picks its columns by name and passes over the others."""
    while public_name(type(fitted)) == "sklearn.pipeline.Pipeline":
        fitted = fitted.steps[0][1]
    return public_name(type(fitted)) == "sklearn.compose.ColumnTransformer"


def _versions(translation: Translation) -> dict[str, str]:
    libraries = dict.fromkeys(r.source.split(".")[0] for r in translation.records)
    names = {"sklearn": "scikit-learn"}
    found = {}
    for library in ("millrace", *libraries):
        if library in sys.modules:
            try:
                found[library] = metadata.version(names.get(library, library))
            except metadata.PackageNotFoundError:
                continue
    return found
