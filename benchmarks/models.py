"""The data and the fitted models that are measured: deterministic, fitted once, kept in `.cache/`.

The data is made, not read: `n × 28` float32, normal, with a target that depends on products,
thresholds and noise, so that trees of any depth find something to split on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from benchmarks.harness import CACHE

N_FEATURES = 28
N_TRAIN = 20_000


@dataclass(frozen=True)
class Model:
    """A fitted object with a key that names its files in the cache."""

    key: str
    fitted: Any

    def file(self, suffix: str) -> Path:
        """Where something derived from this model is kept, for example its ONNX form."""
        CACHE.mkdir(exist_ok=True)
        return CACHE / f"{self.key}{suffix}"


def rows(n: int, seed: int) -> np.ndarray:
    """Input rows, float32, shape (n, 28)."""
    return np.random.default_rng(seed).standard_normal((n, N_FEATURES), dtype=np.float32)


def target(X: np.ndarray, seed: int) -> np.ndarray:
    """A noisy target, float64, shape (n,)."""
    noise = np.random.default_rng([seed, 1]).standard_normal(len(X))
    signal = X[:, 0] * X[:, 1] + np.where(X[:, 2] > 0.5, X[:, 3], -X[:, 4])
    signal += np.sin(3 * X[:, 5]) + 0.5 * X[:, 6:12].sum(axis=1)
    return signal.astype(np.float64) + noise


def train_set(n: int = N_TRAIN) -> tuple[np.ndarray, np.ndarray]:
    X = rows(n, seed=0)
    return X, target(X, seed=0)


def cached(name: str, library: str, fit: Callable[[], Any]) -> Model:
    """Fit, or load what an earlier run with the same version of the library has fitted."""
    model = Model(f"{name}-{library}-{metadata.version(library)}", None)
    path = model.file(".joblib")
    if not path.exists():
        print(f"  fitting {name} …", flush=True)
        aside = path.with_suffix(".part")
        joblib.dump(fit(), aside)
        aside.replace(path)
    return Model(model.key, joblib.load(path))


def text_digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


# --- one function a model -------------------------------------------------------------------------


def lightgbm_regressor(n_trees: int = 500, n_leaves: int = 31) -> Model:
    def fit() -> Any:
        import lightgbm

        X, y = train_set()
        return lightgbm.LGBMRegressor(
            n_estimators=n_trees, num_leaves=n_leaves, n_jobs=2, random_state=0, verbose=-1
        ).fit(X, y)

    return cached(f"lightgbm-regressor-{n_trees}x{n_leaves}", "lightgbm", fit)


def lightgbm_classifier(n_trees: int = 500, n_leaves: int = 31) -> Model:
    def fit() -> Any:
        import lightgbm

        X, y = train_set()
        return lightgbm.LGBMClassifier(
            n_estimators=n_trees, num_leaves=n_leaves, n_jobs=2, random_state=0, verbose=-1
        ).fit(X, (y > 0).astype(int))

    return cached(f"lightgbm-classifier-{n_trees}x{n_leaves}", "lightgbm", fit)


def xgboost_regressor(n_trees: int = 500, depth: int = 6) -> Model:
    def fit() -> Any:
        import xgboost

        X, y = train_set()
        return xgboost.XGBRegressor(
            n_estimators=n_trees, max_depth=depth, learning_rate=0.1, n_jobs=2, random_state=0
        ).fit(X, y)

    return cached(f"xgboost-regressor-{n_trees}x{depth}", _xgboost_package(), fit)


def histgb_regressor(n_trees: int = 300, n_leaves: int = 31) -> Model:
    def fit() -> Any:
        from sklearn.ensemble import HistGradientBoostingRegressor

        X, y = train_set()
        return HistGradientBoostingRegressor(
            max_iter=n_trees, max_leaf_nodes=n_leaves, early_stopping=False, random_state=0
        ).fit(X, y)

    return cached(f"histgb-regressor-{n_trees}x{n_leaves}", "scikit-learn", fit)


def forest_classifier(n_trees: int = 100, max_leaves: int | None = None) -> Model:
    def fit() -> Any:
        from sklearn.ensemble import RandomForestClassifier

        X, y = train_set()
        forest = RandomForestClassifier(
            n_trees, max_leaf_nodes=max_leaves, n_jobs=2, random_state=0
        ).fit(X, (y > 0).astype(int))
        return forest.set_params(n_jobs=None)

    return cached(f"forest-classifier-{n_trees}x{max_leaves or 'pure'}", "scikit-learn", fit)


def forest_regressor(n_trees: int = 100) -> Model:
    def fit() -> Any:
        from sklearn.ensemble import RandomForestRegressor

        X, y = train_set()
        forest = RandomForestRegressor(n_trees, max_features=1 / 3, n_jobs=2, random_state=0)
        return forest.fit(X, y).set_params(n_jobs=None)

    return cached(f"forest-regressor-{n_trees}xpure", "scikit-learn", fit)


def _xgboost_package() -> str:
    """The package that `import xgboost` comes from: with GPU support, or without."""
    for package in ("xgboost", "xgboost-cpu"):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return package
    return "xgboost"
