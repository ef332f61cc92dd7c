"""What makes a compiled model a scikit-learn estimator in good standing.

It is fitted for good: ``fit`` changes nothing and ``clone`` gives the model itself, as scikit-learn's
own ``FrozenEstimator`` does. So it stands in a ``Pipeline``, is scored by ``cross_val_score`` and is
looked into by ``sklearn.inspection``. scikit-learn is imported by the methods that need it alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from millrace.errors import MethodMissingError
from millrace.runtime.frames import CONTAINERS

if TYPE_CHECKING:
    from millrace.runtime.model import ModelInfo


class EstimatorMixin:
    """The scikit-learn side of `CompiledModel`."""

    info: ModelInfo

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that it has."""
        raise NotImplementedError

    @property
    def _estimator_type(self) -> str | None:
        return self.info.estimator_type

    def fit(self, X: Any = None, y: Any = None, **parameters: Any) -> Self:
        """Nothing: a compiled model is fitted for good."""
        return self

    @property
    def fit_transform(self) -> Callable[..., Any]:
        """``transform``, where the source has it."""
        transform = self.transform  # pyright: ignore[reportAttributeAccessIssue]
        return lambda X, y=None, **parameters: transform(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """No parameters: they are those of the object that was compiled."""
        return {}

    def set_params(self, **parameters: Any) -> Self:
        """Refuse parameters: compile the object again after it was fitted with others."""
        if parameters:
            raise MethodMissingError.of(
                f"parameter {next(iter(parameters))}", self.info.source, self.methods
            )
        return self

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of ``transform``: "default", "pandas" or "polars"."""
        if transform is not None:
            if transform not in CONTAINERS:
                raise ValueError(f"transform must be one of {CONTAINERS}, got {transform!r}")
            self.info = replace(self.info, output=transform)
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of a classifier, R^2 of a regressor, or what a search was told to score by."""
        from sklearn.metrics import accuracy_score, r2_score

        scorer = getattr(getattr(self, "source", None), "scorer_", None)
        if callable(scorer):
            return float(scorer(self, X, y))  # pyright: ignore[reportArgumentType]
        kinds = {"classifier": accuracy_score, "regressor": r2_score}
        measure = kinds.get(self.info.estimator_type or "")
        if measure is None:
            raise MethodMissingError.of("score", self.info.source, self.methods)
        answers = self.predict(X)  # pyright: ignore[reportAttributeAccessIssue]
        return float(measure(y, answers, sample_weight=sample_weight))

    def __sklearn_clone__(self) -> Self:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import (
            ClassifierTags,
            InputTags,
            RegressorTags,
            Tags,
            TargetTags,
            TransformerTags,
        )

        kind = self.info.estimator_type
        return Tags(
            estimator_type=kind,  # pyright: ignore[reportArgumentType]
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags() if "transform" in self.methods else None,
            classifier_tags=ClassifierTags() if kind == "classifier" else None,
            regressor_tags=RegressorTags() if kind == "regressor" else None,
            input_tags=InputTags(sparse=True, allow_nan=True, string=True),
            requires_fit=False,
        )
