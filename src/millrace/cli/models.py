"""Model files of every kind: compiled ones, pickles, and the boosting libraries' own formats."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millrace.errors import FileInputError, MissingDependencyError, UntrustedPickleError

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel


def load_compiled(path: Path, trust_pickle: bool) -> CompiledModel:
    """A compiled model from its file, or compiled now (without verification) from a fitted object.

    Raises
    ------
    ModelFileError, FileInputError, UntrustedPickleError, UnsupportedModelError
    """
    import millrace as mr

    if path.suffix == ".mill":
        return mr.load(path)
    return mr.compile(load_fitted(path, trust_pickle), verify=False)


def load_fitted(path: Path, trust_pickle: bool) -> Any:
    """A fitted object from a pickle, a joblib file or a boosting library's own model file.

    Raises
    ------
    FileInputError
        There is no such file, it cannot be read, or its kind is unknown.
    UntrustedPickleError
        It is a pickle and `trust_pickle` is not set; nothing of it was read.
    MissingDependencyError
        The library that it needs is not installed.
    """
    if not path.is_file():
        raise FileInputError.unreadable(path, "there is no such file")
    if path.suffix == ".mill":
        raise FileInputError.unreadable(
            path, "it is a compiled model; give the fitted object that it was made from"
        )
    loader = _loader(path)
    if loader is None:
        if not trust_pickle:
            raise UntrustedPickleError.of(path)
        return _load_pickle(path)
    try:
        return loader(path)
    except ImportError as error:
        raise MissingDependencyError.of(
            error.name or "a library", f"Reading {path}", error.name or ""
        ) from error
    except Exception as error:
        raise FileInputError.unreadable(path, _reason(error)) from error


def _loader(path: Path) -> Callable[[Path], Any] | None:
    """What reads the file without a pickle; None for a pickle."""
    suffixes = {s.lower() for s in path.suffixes}
    if suffixes & {".pkl", ".pickle", ".joblib", ".dill"}:
        return None
    match path.suffix.lower():
        case ".txt":
            return _load_lightgbm
        case ".ubj":
            return _load_xgboost
        case ".cbm":
            return _load_catboost
        case ".json":
            return _load_json
        case _:
            with path.open("rb") as file:
                if file.read(1) == b"\x80":  # how every pickle since protocol 2 begins
                    return None
            raise FileInputError.unknown_format(
                path, (".joblib", ".pkl", ".txt", ".json", ".ubj", ".cbm", ".mill")
            )


def _load_pickle(path: Path) -> Any:
    """Unpickle; a function of the user's own is looked for in the current folder too."""
    import joblib

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return joblib.load(path)
    except ModuleNotFoundError as error:
        raise FileInputError.unreadable(
            path,
            f"it needs the module {error.name!r}, which is not installed; install it, or run "
            f"from the folder that holds it",
        ) from error
    except Exception as error:
        raise FileInputError.unreadable(path, _reason(error)) from error


def _load_lightgbm(path: Path) -> Any:
    import lightgbm

    return lightgbm.Booster(model_file=path)


def _load_xgboost(path: Path) -> Any:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(path)
    return booster


def _load_catboost(path: Path, format: str = "cbm") -> Any:
    """A classifier where the model has classes, else a regressor: the file does not say."""
    import catboost

    model: Any = catboost.CatBoost().load_model(str(path), format)
    kind = catboost.CatBoostClassifier if len(model.classes_) else catboost.CatBoostRegressor
    return kind().load_model(str(path), format)


def _load_json(path: Path) -> Any:
    """JSON of XGBoost or of CatBoost."""
    import json

    with path.open(encoding="utf-8") as file:
        is_xgboost = "learner" in json.load(file)
    return _load_xgboost(path) if is_xgboost else _load_catboost(path, "json")


def _reason(error: Exception) -> str:
    """The first line of a foreign error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
