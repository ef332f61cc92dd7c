"""The two candidates: preprocessing by the role of the columns, then a linear model or a boosted forest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from millrace.statistics.profile import ColumnProfile
from millrace.training.roles import Role

Task = Literal["binary", "multiclass", "regression"]

RARE = 20
"""Categories with fewer rows than this share one column of the linear model."""

TERMS, TOPICS = 2000, 30
"""Terms of a free text for the linear model, and directions that a forest sees of them."""


def candidates(
    roles: Sequence[Role], profiles: Sequence[ColumnProfile], task: Task, random_state: int
) -> dict[str, Any]:
    """Name -> unfitted pipeline."""
    missing = {p.name: p.missing > 0 for p in profiles}
    return {
        "linear model": linear(roles, missing, task),
        "boosted forest": boosted(roles, task, random_state),
    }


def linear(roles: Sequence[Role], missing: Mapping[str, bool], task: Task) -> Any:
    """Impute and scale numbers, one-hot categories, weigh terms; then a regularised linear model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = _named(roles, "number")
    holes = [c for c in numbers if missing[c]]
    whole = [c for c in numbers if not missing[c]]
    parts: list[tuple[str, Any, Any]] = []
    if whole:
        parts.append(("numbers", StandardScaler(), whole))
    if holes:
        filled = make_pipeline(SimpleImputer(strategy="mean", add_indicator=True), StandardScaler())
        parts.append(("numbers with gaps", filled, holes))
    if words := _named(roles, "category"):
        encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RARE)
        parts.append(("categories", encoder, words))
    for at, column in enumerate(_named(roles, "text")):  # a name with two underscores is refused
        parts.append((f"text {at}", TfidfVectorizer(max_features=TERMS), column))
    model: Any = Ridge() if task == "regression" else LogisticRegression(max_iter=1000)
    return make_pipeline(ColumnTransformer(parts), model)


def boosted(roles: Sequence[Role], task: Task, random_state: int) -> Any:
    """Categories as codes, numbers as they are, texts as a few directions; then histogram boosting."""
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import TruncatedSVD
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    words, parts = _named(roles, "category"), []
    if words:
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=float("nan"),
            encoded_missing_value=float("nan"),
            max_categories=250,
        )
        parts.append(("categories", encoder, words))
    if numbers := _named(roles, "number"):
        parts.append(("numbers", "passthrough", numbers))
    for at, column in enumerate(_named(roles, "text")):
        topics = make_pipeline(
            TfidfVectorizer(max_features=TERMS), TruncatedSVD(TOPICS, random_state=random_state)
        )
        parts.append((f"text {at}", topics, column))
    forest = (
        HistGradientBoostingRegressor
        if task == "regression"
        else HistGradientBoostingClassifier
    )
    model = forest(categorical_features=list(range(len(words))) or None, random_state=random_state)
    return make_pipeline(ColumnTransformer(parts, sparse_threshold=0), model)


def _named(roles: Sequence[Role], part: str) -> list[str]:
    return [r.column for r in roles if r.part == part]
