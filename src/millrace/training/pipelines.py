"""The two candidates: preprocessing by the role of columns, then a linear model or a boosted forest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from millrace.training.look import Looked
from millrace.training.metrics import Task
from millrace.training.roles import Role

RARE = 20
"""Categories with fewer rows than this share one column of the linear model."""

TERMS, TOPICS = 2000, 30
"""Terms of a free text for the linear model, and directions that a forest sees of them."""


FEWEST = 10
"""Rows of a class from which the forest may hold out some of its own to know when to stop."""


def candidates(looked: Looked, random_state: int) -> dict[str, Any]:
    """Name -> unfitted pipeline on the columns that are used."""
    roles = [looked.roles[i] for i in looked.used]
    holes = {looked.profiles[i].name for i in looked.used if looked.profiles[i].missing}
    counts = (looked.target.counts or {}).values() if looked.classes is not None else ()
    rare = min(counts, default=FEWEST) < FEWEST
    return {
        "linear model": linear(roles, holes, looked.task),
        "boosted forest": boosted(roles, looked.task, random_state, False if rare else "auto"),
    }


def linear(roles: Sequence[Role], incomplete: Collection[str], task: Task) -> Any:
    """Impute and scale numbers, one-hot categories, weigh terms; then a regularised linear model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = _columns(roles, "number")
    holes = [c for c in numbers if _name(roles, c) in incomplete]
    whole = [c for c in numbers if c not in holes]
    parts: list[tuple[str, Any, Any]] = []
    if whole:
        parts.append(("numbers", StandardScaler(), whole))
    if holes:
        filled = make_pipeline(SimpleImputer(strategy="mean", add_indicator=True), StandardScaler())
        parts.append(("numbers with gaps", filled, holes))
    if words := _columns(roles, "category"):
        encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RARE)
        parts.append(("categories", encoder, words))
    for at, column in enumerate(_columns(roles, "text")):  # a name with two underscores is refused
        parts.append((f"text {at}", TfidfVectorizer(max_features=TERMS), column))
    model: Any = Ridge() if task == "regression" else LogisticRegression(max_iter=1000)
    return make_pipeline(ColumnTransformer(parts), model)


def boosted(
    roles: Sequence[Role], task: Task, random_state: int, early_stopping: bool | str = "auto"
) -> Any:
    """Categories as codes, numbers as they are, texts as a few directions; then histogram boosting."""
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import TruncatedSVD
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    words, parts = _columns(roles, "category"), []
    if words:
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=float("nan"),
            encoded_missing_value=float("nan"),
            max_categories=250,
        )
        parts.append(("categories", encoder, words))
    if numbers := _columns(roles, "number"):
        parts.append(("numbers", "passthrough", numbers))
    for at, column in enumerate(_columns(roles, "text")):
        topics = make_pipeline(
            TfidfVectorizer(max_features=TERMS), TruncatedSVD(TOPICS, random_state=random_state)
        )
        parts.append((f"text {at}", topics, column))
    forest: Any = (
        HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    )
    model = forest(
        l2_regularization=1.0,  # without it, leaves of rare classes run away
        categorical_features=list(range(len(words))) or None,
        early_stopping=early_stopping,
        random_state=random_state,
    )
    return make_pipeline(ColumnTransformer(parts, sparse_threshold=0), model)


def _name(roles: Sequence[Role], column: str | int) -> str:
    return roles[column].column if isinstance(column, int) else column


def _columns(roles: Sequence[Role], part: str) -> list[Any]:
    """The names of the columns that play a part; positions where names are made up: x0, x1 ...

    A compiled model takes rows of the latter as an array too, so its source has to as well.
    """
    made_up = all(r.column == f"x{i}" for i, r in enumerate(roles))
    return [i if made_up else r.column for i, r in enumerate(roles) if r.part == part]
