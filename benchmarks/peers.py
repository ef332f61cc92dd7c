"""The peers: every way of predicting that Millrace is measured against.

An adapter makes a `Predictor` from a fitted model. `batch` and `row_by_row` turn it into the
contender of a case: one call with all rows, or one call a row over many different rows (a single
row asked again and again would flatter any code that branches, since the branches are soon
learned).

`positive` asks for the probability of the second class alone, as a binary booster's `predict` gives
it.

Each peer is called the way its own documentation shows, with its defaults, given the number of
threads, and with its input already in the element type it takes. Conversion and compilation are not
timed; ONNX files and compiled libraries are kept in `.cache/`. A peer that is not installed or does
not convert the model raises, and the table says why it is missing.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import lleaves_env
from benchmarks.harness import MILLRACE, Contender, Skip
from benchmarks.models import Model

# Above this many leaves these compilers take minutes to hours, so they are left out.
MAX_LEAVES_TL2CGEN = 100_000
MAX_LEAVES_LLEAVES = 45_000
# Hummingbird keeps several rows × trees tensors at once; more rows than this are given in parts.
HUMMINGBIRD_ROWS = 10_000


@dataclass(frozen=True)
class Predictor:
    """A function of a block of rows.

    Attributes
    ----------
    call
        Takes an array of shape (n, n_features), or (n_features,) where `flat`.
    dtype
        Element type that the peer takes without converting.
    read
        Turns the raw answer to one call into an array of shape (n,) or (n, n_outputs).
    """

    call: Callable[[Any], Any]
    dtype: Any = np.float32
    flat: bool = False
    read: Callable[[Any], np.ndarray] = np.asarray


Make = Callable[[], Predictor]


def batch(name: str, make: Make, X: np.ndarray, note: str = "") -> Contender:
    """All rows in one call."""
    readers: list[Callable[[Any], np.ndarray]] = []

    def prepare() -> tuple[Callable[[Any], Any], np.ndarray]:
        predictor = make()
        readers[:] = [predictor.read]
        return predictor.call, X.astype(predictor.dtype, copy=False)

    return Contender(
        name,
        prepare,
        run=lambda state: state[0](state[1]),
        read=lambda raw: readers[0](raw),
        note=note,
    )


def row_by_row(name: str, make: Make, X: np.ndarray, note: str = "") -> Contender:
    """One call a row; `Case.calls` is the number of rows."""
    readers: list[Callable[[Any], np.ndarray]] = []

    def prepare() -> tuple[Callable[[Any], Any], list[np.ndarray]]:
        predictor = make()
        readers[:] = [predictor.read]
        cast = X.astype(predictor.dtype)
        return predictor.call, [(r if predictor.flat else r.reshape(1, -1)).copy() for r in cast]

    def run(state: tuple[Callable[[Any], Any], list[np.ndarray]]) -> list[Any]:
        call, rows = state
        return [call(row) for row in rows]

    def read(raw: list[Any]) -> np.ndarray:
        return np.stack([np.asarray(readers[0](answer)).reshape(-1) for answer in raw])

    return Contender(name, prepare, run, read=read, note=note)


# --- Millrace -------------------------------------------------------------------------------------


def millrace(fitted: Any, threads: int, method: str = "predict") -> Predictor:
    import millrace as mr

    mr.set_threads(threads)
    return Predictor(getattr(mr.compile(fitted), method))


def millrace_prepared(fitted: Any, threads: int) -> Predictor:
    """The call for one row that `row_function` prepares."""
    import millrace as mr

    mr.set_threads(threads)
    return Predictor(mr.compile(fitted).row_function(), flat=True)


# --- the source libraries -------------------------------------------------------------------------


def lightgbm(fitted: Any, threads: int) -> Predictor:
    """`Booster.predict`, which is what the scikit-learn classes call after their checks."""
    booster = getattr(fitted, "booster_", fitted)
    return Predictor(lambda X: booster.predict(X, num_threads=threads))


def xgboost_inplace(fitted: Any, threads: int) -> Predictor:
    booster = _xgboost_booster(fitted, threads)
    return Predictor(booster.inplace_predict)


def xgboost_dmatrix(fitted: Any, threads: int) -> Predictor:
    """`Booster.predict` with the DMatrix built in the call; one kept has its answer kept too."""
    import xgboost

    booster = _xgboost_booster(fitted, threads)
    return Predictor(lambda X: booster.predict(xgboost.DMatrix(X, nthread=threads)))


def _xgboost_booster(fitted: Any, threads: int) -> Any:
    booster = fitted.get_booster() if hasattr(fitted, "get_booster") else fitted
    booster.set_param({"nthread": threads})
    return booster


def sklearn(fitted: Any, threads: int, method: str = "predict") -> Predictor:
    if hasattr(fitted, "n_jobs"):
        fitted = copy.copy(fitted).set_params(n_jobs=threads)
    return Predictor(getattr(fitted, method))


# --- ONNX Runtime ---------------------------------------------------------------------------------


def onnxruntime(model: Model, threads: int, *, positive: bool = False) -> Predictor:
    """The model as ONNX, with `intra_op_num_threads` set. Only the scores are asked for."""
    session = onnx_session(_onnx_file(model), threads)
    name = session.get_inputs()[0].name
    wanted = [session.get_outputs()[-1].name]
    run = session.run
    return Predictor(
        lambda X: run(wanted, {name: X}), read=_positive if positive else _first_output
    )


def onnx_session(path: Path, threads: int) -> Any:
    import onnxruntime as ort

    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    return ort.InferenceSession(str(path), chosen, providers=["CPUExecutionProvider"])


def _first_output(raw: list[np.ndarray]) -> np.ndarray:
    return raw[0]


def _positive(raw: list[np.ndarray]) -> np.ndarray:
    return raw[0][:, -1]


def _onnx_file(model: Model) -> Path:
    path = model.file(".onnx")
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            payload = to_onnx(model.fitted).SerializeToString()
        path.write_bytes(payload)
    return path


def to_onnx(fitted: Any) -> Any:
    """ONNX by the converter of the model's own library."""
    family = type(fitted).__module__.split(".")[0]
    n_features = _n_features(fitted)
    if family in ("lightgbm", "xgboost"):
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType

        types = [("X", FloatTensorType([None, n_features]))]
        if family == "lightgbm":
            return onnxmltools.convert_lightgbm(fitted, initial_types=types, zipmap=False)
        return onnxmltools.convert_xgboost(fitted, initial_types=types)
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    types = [("X", FloatTensorType([None, n_features]))]
    plain = {id(fitted): {"zipmap": False}} if hasattr(fitted, "predict_proba") else None
    return skl2onnx.convert_sklearn(fitted, initial_types=types, options=plain)


def _n_features(fitted: Any) -> int:
    return fitted.n_features_in_ if hasattr(fitted, "n_features_in_") else fitted.num_feature()


# --- Treelite and TL2cgen -------------------------------------------------------------------------


def to_treelite(fitted: Any) -> Any:
    import treelite

    family = type(fitted).__module__.split(".")[0]
    if family == "lightgbm":
        return treelite.frontend.from_lightgbm(getattr(fitted, "booster_", fitted))
    if family == "xgboost":
        booster = fitted.get_booster() if hasattr(fitted, "get_booster") else fitted
        return treelite.frontend.from_xgboost(booster)
    return treelite.sklearn.import_model(fitted)


def treelite_gtil(model: Model, threads: int, *, positive: bool = False) -> Predictor:
    """Treelite's own interpreter."""
    import treelite

    loaded = to_treelite(model.fitted)
    return Predictor(
        lambda X: treelite.gtil.predict(loaded, X, nthread=threads),
        read=_treelite_reader(positive),
    )


def tl2cgen(model: Model, threads: int, n_leaves: int, *, positive: bool = False) -> Predictor:
    """The model as C, compiled by gcc. Making the library's own matrix is part of each call."""
    import tl2cgen as generator

    if n_leaves > MAX_LEAVES_TL2CGEN:
        raise Skip(f"its C takes too long to compile above {MAX_LEAVES_TL2CGEN:,} leaves")
    path = model.file(".so")
    if not path.exists():
        print(f"  compiling {path.name} …", flush=True)
        generator.export_lib(
            to_treelite(model.fitted),
            toolchain="gcc",
            libpath=path,
            params={"parallel_comp": max(4, n_leaves // 2_000)},
            nthread=2,
            verbose=False,
        )
    predictor = generator.Predictor(path, nthread=threads)
    return Predictor(
        lambda X: predictor.predict(generator.DMatrix(X)), read=_treelite_reader(positive)
    )


def _treelite_reader(positive: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Treelite answers (rows, outputs, classes); a binary booster has one class, a forest two."""
    if positive:
        return lambda raw: raw.reshape(len(raw), -1)[:, -1]
    return lambda raw: raw.reshape(len(raw), -1)


# --- Hummingbird ----------------------------------------------------------------------------------


def hummingbird(
    model: Model,
    threads: int,
    X: np.ndarray,
    *,
    backend: str = "torch",
    method: str = "predict",
    positive: bool = False,
) -> Predictor:
    import torch
    from hummingbird.ml import convert

    torch.set_num_threads(threads)
    sample = X[: min(len(X), HUMMINGBIRD_ROWS)]
    with warnings.catch_warnings(), _readable_base_score():
        warnings.simplefilter("ignore")
        container = convert(model.fitted, backend, sample)
    call = getattr(container, method)

    def in_parts(X: np.ndarray) -> np.ndarray:
        parts = range(0, len(X), HUMMINGBIRD_ROWS)
        return np.concatenate([call(X[i : i + HUMMINGBIRD_ROWS]) for i in parts])

    return Predictor(in_parts, read=(lambda raw: raw[:, -1]) if positive else np.asarray)


@contextlib.contextmanager
def _readable_base_score() -> Iterator[None]:
    """XGBoost 3 writes its base score as a list of one; Hummingbird 0.4 reads a number."""
    try:
        import xgboost
    except ImportError:
        yield
        return
    original = xgboost.Booster.save_config

    def as_number(booster: Any) -> str:
        config = json.loads(original(booster))
        parameters = config["learner"]["learner_model_param"]
        parameters["base_score"] = parameters["base_score"].strip("[]")
        return json.dumps(config)

    xgboost.Booster.save_config = as_number
    try:
        yield
    finally:
        xgboost.Booster.save_config = original


# --- lleaves, in a process of its own -------------------------------------------------------------


class LleavesProcess:
    """A worker that holds the model and the rows, and keeps the clock itself."""

    def __init__(self, **what: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lleaves-")
        self._process = subprocess.Popen(
            [lleaves_env.interpreter(), str(Path(__file__).with_name("lleaves_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        source = Path(self._folder.name) / "X.npy"
        np.save(source, what.pop("X"))
        self._ask(op="open", input=str(source), **what)

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Skip(f"its process ended with code {self._process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise Skip(reply["error"])
        return reply

    def answer(self) -> np.ndarray:
        path = Path(self._folder.name) / "y.npy"
        self._ask(op="answer", output=str(path))
        return np.load(path)

    def seconds(self, repeats: int) -> float:
        return float(self._ask(op="time", repeats=repeats)["seconds"])

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            process.stdin.close()  # the worker ends with its input
            process.stdout.close()
            process.wait()


def lleaves(
    model: Model,
    X: np.ndarray,
    threads: int,
    n_leaves: int,
    *,
    one_row: bool = False,
    fp64: bool = True,
) -> Contender:
    """lleaves compiled with its defaults, or for float32 input and arithmetic."""

    def prepare() -> LleavesProcess:
        if n_leaves > MAX_LEAVES_LLEAVES:
            raise Skip(f"takes too long to compile above {MAX_LEAVES_LLEAVES:,} leaves")
        lleaves_env.interpreter()
        booster = getattr(model.fitted, "booster_", model.fitted)
        text = model.file(".txt")
        if not text.exists():
            booster.save_model(text)
        return LleavesProcess(
            model=str(text),
            cache=str(model.file(f".lleaves{'64' if fp64 else '32'}")),
            fp64=fp64,
            threads=threads,
            X=X,
            row_by_row=one_row,
        )

    return Contender(
        "lleaves" if fp64 else "lleaves, float32",
        prepare,
        run=LleavesProcess.answer,
        seconds=LleavesProcess.seconds,
        note="in its own process, which keeps the clock",
    )


LLEAVES = ("lleaves", "lleaves, float32")
__all__ = ["LLEAVES", "MILLRACE", "Predictor", "batch", "row_by_row"]

logging.getLogger("skl2onnx").setLevel(logging.ERROR)
