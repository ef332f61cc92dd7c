"""The same source for another form of input: sparse rows, or the way back."""

from __future__ import annotations

from dataclasses import replace

from millrace.catalog import Translation, translate
from millrace.catalog.translate import translate_inverse
from millrace.compiler.link import link
from millrace.errors import MethodMissingError, SparseInputError, UnsupportedModelError
from millrace.ir.program import Program
from millrace.rewrites import simplify
from millrace.runtime.model import CompiledModel

FORMS = ("csr_matrix", "inverse", "inverse csr_matrix")
"""What a model file keeps beside the program of dense rows."""


def view(model: CompiledModel, form: str) -> CompiledModel:
    """Compile the source of a model for another form of input.

    Raises
    ------
    SparseInputError
        A step needs dense rows, or the model was saved without a program for sparse ones.
    MethodMissingError
        The source has no ``inverse_transform``.
    """
    source = model.source
    matrices = form.replace("csr_array", "csr_matrix")
    if source is None and matrices != form and matrices in model._views:
        kept_one = model.view(matrices)
        return link(_of_arrays(kept_one.program), kept_one.info)
    if form.startswith("inverse"):
        if source is None and form != "inverse":
            raise SparseInputError.not_kept(f"inverse of {model.info.source}")
        if not callable(getattr(source, "inverse_transform", None)):
            raise MethodMissingError.of("inverse_transform", model.info.source, model.methods)
        kind = form.partition(" ")[2] or None
        return _linked(model, translate_inverse(source, model.program, kind))  # pyright: ignore[reportArgumentType]
    if source is None:
        raise SparseInputError.not_kept(model.info.source)
    try:
        return _linked(model, translate(source, sparse=form))  # pyright: ignore[reportArgumentType]
    except UnsupportedModelError as error:
        step, why = error.step or model.info.source, error.reason or str(error)
        raise SparseInputError.needs_dense(step, model.info.source, why) from error


def _of_arrays(program: Program) -> Program:
    """A program of sparse matrices for sparse arrays: what comes out is of the kind that goes in."""
    outputs = (
        replace(o, shape="csr_array" if o.shape == "csr_matrix" else o.shape)
        for o in program.outputs
    )
    return replace(program, form="csr_array", outputs=tuple(outputs))


def _linked(model: CompiledModel, translation: Translation) -> CompiledModel:
    info = replace(
        model.info,
        steps=translation.steps,
        notes=translation.notes,
        output="default",
    )
    return link(simplify(translation.program), info, translation.foreign, model.source)


def kept(model: CompiledModel) -> dict[str, CompiledModel]:
    """The other forms that a model file keeps: those without foreign steps."""
    found: dict[str, CompiledModel] = {}
    for form in FORMS:
        try:
            other = model.view(form)
        except (SparseInputError, MethodMissingError, UnsupportedModelError):
            continue
        if not other.program.foreign:
            found[form] = other
    return found
