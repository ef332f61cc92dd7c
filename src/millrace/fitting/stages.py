"""What a step of a pipeline receives: the stages above it, applied to one chunk."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import threading
import warnings
from typing import Any, assert_never

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from millrace.compiler.build import compile
from millrace.errors import MillraceError
from millrace.fitting.source import Chunk
from millrace.solvers.rows import Beside, Chosen, Rows, Source, Stage, Through
from millrace.solvers.sklearn.compose import OneColumn
from millrace.statistics.base import Batch, Columns
from millrace.statistics.collect import frame


class Transformers:
    """The compiled form of every transformer of a fit, made once and used by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._compiled: dict[str, Any] = {}
        self.fell_back: dict[str, str] = {}

    def apply(self, stage: Through, block: Any) -> Any:
        """``transform`` of a block by the compiled transformer, or by the original where it has none."""
        with self._lock:
            if stage.key not in self._compiled:
                self._compiled[stage.key] = self._make(stage, block)
            model = self._compiled[stage.key]
        if model is None:
            return as_block(stage.transformer.transform(as_rows(block)))
        if isinstance(stage.transformer, OneColumn):
            return as_block(model.transform(_only_column(block)))
        return as_block(model.transform(as_table(block)))

    def _make(self, stage: Through, block: Any) -> Any:
        source, sample = stage.transformer, as_rows(_few(block))
        if isinstance(source, OneColumn):
            source, sample = source.transformer, _only_column(_few(block))
        name = type(source).__name__
        try:
            model = compile(source, sample=sample, verify=False)
        except MillraceError as error:
            self.fell_back[name] = str(error)
            return None
        for path, _, status, reason in model.info.steps:
            if status != "native":
                self.fell_back["/".join(p for p in (name, path) if p)] = reason
        return model


class View:
    """One chunk as the stages see it; every stage is computed once."""

    def __init__(self, chunk: Chunk, transformers: Transformers) -> None:
        self.chunk = chunk
        self._transformers = transformers
        self._blocks: dict[str, Any] = {}
        self._batches: dict[tuple[str, bool], Batch] = {}

    def batch(self, rows: Rows) -> Batch:
        """The chunk as a statistic of `rows` receives it."""
        key = (rows.stage.key, rows.weighted)
        if key not in self._batches:
            chunk = self.chunk
            weight = chunk.weight if rows.weighted else None
            X = self.block(rows.stage)
            self._batches[key] = Batch(chunk.first, X, chunk.y, weight, chunk.rows)
        return self._batches[key]

    def block(self, stage: Stage) -> Any:
        """The chunk at one stage."""
        if stage.key not in self._blocks:
            self._blocks[stage.key] = self._made(stage)
        return self._blocks[stage.key]

    def _made(self, stage: Stage) -> Any:
        match stage:
            case Source():
                return self.chunk.X
            case Chosen():
                block = self.block(stage.parent)
                if isinstance(block, Columns):
                    return block.chosen(stage.columns)
                return block[:, list(stage.columns)]
            case Through():
                return self._transformers.apply(stage, self.block(stage.parent))
            case Beside():
                return beside([self.block(p) for p in stage.parts], stage.sparse)
            case _:
                assert_never(stage)


def beside(blocks: list[Any], sparse: bool) -> Any:
    """Blocks side by side: CSR where asked, else columns where one part is, else a matrix."""
    if sparse:
        return sp.hstack([b.matrix() if isinstance(b, Columns) else b for b in blocks], "csr")
    if all(isinstance(b, Columns) for b in blocks):
        return Columns(
            tuple(n for b in blocks for n in b.names), tuple(a for b in blocks for a in b.arrays)
        )
    return np.hstack([_dense(b) for b in blocks])


def _dense(block: Any) -> np.ndarray:
    if isinstance(block, Columns):
        return block.matrix()
    return block.toarray() if sp.issparse(block) else block


def as_block(answer: Any) -> Any:
    """What a transformer returned, as the next step's block."""
    if sp.issparse(answer):
        return answer.tocsr()
    if hasattr(answer, "iloc"):  # set_output(transform="pandas")
        return Columns(
            tuple(map(str, answer.columns)), tuple(answer[c].to_numpy() for c in answer.columns)
        )
    if hasattr(answer, "get_columns"):  # set_output(transform="polars")
        return Columns(tuple(answer.columns), tuple(c.to_arrow() for c in answer.get_columns()))
    return np.asarray(answer)


def as_table(block: Any) -> Any:
    """A block as a compiled model takes it."""
    if isinstance(block, Columns):
        if all(isinstance(a, (pa.Array, pa.ChunkedArray)) for a in block.arrays):
            return pa.table(list(block.arrays), names=list(block.names))
        return frame(block)
    return block


def as_rows(block: Any) -> Any:
    """A block as scikit-learn takes it."""
    return frame(block) if isinstance(block, Columns) else block


def _only_column(block: Any) -> Any:
    """The one column of a block as a series."""
    rows = as_rows(block)
    return rows.iloc[:, 0] if hasattr(rows, "iloc") else rows[:, 0]


def _few(block: Any) -> Any:
    return block.rows(slice(0, 50)) if isinstance(block, Columns) else block[:50]


def quiet_names(work: Any) -> Any:
    """Call `work` without scikit-learn's warning that column names are absent."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        return work()
