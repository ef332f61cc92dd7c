"""What is known of the object that a model was compiled from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.data.derive import Derived


@dataclass(frozen=True)
class ModelInfo:
    """What is known of the source object; travels in the model file.

    Attributes
    ----------
    source : str
        Public class name: ``"sklearn.pipeline.Pipeline"``.
    classes : list, or list of lists for multi-output
        Class labels, None for other models.
    feature_names : tuple of str, optional
    feature_names_out : tuple of str, optional
        Of ``transform``.
    ignore_extra : bool
        Whether the source passes over columns that it was not fitted on.
    steps : tuple of (path, class, status, reason)
    notes : tuple of (path, text)
    provenance : dict of str
        Library versions, time of compilation, parameters.
    verification : dict, optional
        Outcome of the last verification.
    estimator_type : str, optional
        ``"classifier"``, ``"regressor"`` ... as scikit-learn calls it.
    output : {"default", "pandas", "polars"}
        The container of ``transform``.
    derived : mapping of str to Derived
        Columns that the model computes itself where the input has their date column instead.
    """

    source: str
    classes: Any = None
    feature_names: tuple[str, ...] | None = None
    feature_names_out: tuple[str, ...] | None = None
    ignore_extra: bool = False
    steps: tuple[tuple[str, str, str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    verification: dict[str, Any] | None = None
    estimator_type: str | None = None
    output: str = "default"
    derived: Mapping[str, Derived] = field(default_factory=dict["str", "Derived"])
