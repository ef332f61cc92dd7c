"""`CompiledModel`: the same methods as the object that it was compiled from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from millrace.errors import MethodMissingError, ShapeError, SparseInputError
from millrace.ir.program import Program
from millrace.runtime.derived import with_parts
from millrace.runtime.estimator import EstimatorMixin
from millrace.runtime.frames import column_dtypes, frame
from millrace.runtime.info import ModelInfo
from millrace.runtime.inputs import FLAT, Batch, adapt, is_sparse, reads_by_column, sparse_kind
from millrace.runtime.inverse import inverse_of
from millrace.runtime.row import CellFunctions, RowFunction
from millrace.runtime.samples import for_source

if TYPE_CHECKING:
    from millrace.runtime.describe import Description


class Runnable(Protocol):
    """What a backend makes of a program."""

    program: Program

    def run(self, columns: Any, n_rows: int) -> dict[str, Any]:
        """The outputs, by name; of one array per column, or of all columns as one matrix."""
        ...

    def row(self, cells: Sequence[Any]) -> dict[str, Any] | None:
        """The outputs for one row of cells, or None where only `run` will do."""
        ...


@dataclass(frozen=True)
class Engine:
    """What the floors above hand to a model, so that it need not know them.

    Attributes
    ----------
    rewrite : callable
        A bound program -> the program that the backend gets.
    prepare : callable
        The backend: a rewritten program, the foreign objects and a dict in which executables of one
        model share what they have in common -> what runs it.
    verify : callable
        ``compiler.equivalence.verify``.
    view : callable
        A model and the name of a form (``"csr_matrix"``, ``"csr_array"``, ``"inverse"``) -> the model of
        the same source for that form; raises `SparseInputError` or `MethodMissingError`.
    kept : callable
        A model -> its models for other forms that a model file keeps.
    export : callable
        The name of a format (``"onnx"``, ``"c"``), a model and options -> the exported model.
    """

    rewrite: Callable[[Program], Program]
    prepare: Callable[[Program, Mapping[str, Any], dict[Any, Any]], Runnable]
    verify: Callable[..., Any]
    view: Callable[[CompiledModel, str], CompiledModel]
    kept: Callable[[CompiledModel], dict[str, CompiledModel]]
    export: Callable[[str, CompiledModel, dict[str, Any]], Any]


class _Method:
    """A method that exists only where the source object has it."""

    def __init__(self, name: str, doc: str) -> None:
        self.name = name
        self.__doc__ = doc

    def __get__(self, model: CompiledModel | None, owner: type) -> Any:
        if model is None:
            return self
        bound = model._methods.get(self.name)
        if bound is None:
            raise MethodMissingError.of(self.name, model.info.source, model.methods)
        return bound


class CompiledModel(EstimatorMixin):
    """A fitted object, compiled.

    Answers have the dtypes, shapes and bits of the source object's own methods, within the bounds
    that the converters' docstrings state. Safe to use from many threads at once.

    Parameters
    ----------
    program : Program
    info : ModelInfo
    engine : Engine
        Rewrites and backend.
    foreign : mapping, optional
        Objects that the program calls because they are not native.
    source : object, optional
        The object that was compiled, for `verify`.
    views : mapping of str to CompiledModel, optional
        The models of the same source for other forms of input; see `Engine.view`.

    Notes
    -----
    Rows may be a NumPy array, a pandas or polars DataFrame, a pyarrow Table, RecordBatch or Dataset, a
    list of dicts, a SciPy sparse matrix, or anything that exports Arrow or DLPack. Frames are matched
    by column name in any order. Missing values follow the source's rules; Arrow nulls are NaN. A sparse
    matrix is never made dense as a whole; sparse answers are CSR, also where the source gives CSC.

    It is a scikit-learn estimator that is fitted for good, it pickles, and it may be used after a fork.
    """

    predict = _Method("predict", "As the source object's ``predict``.")
    predict_proba = _Method("predict_proba", "As the source object's ``predict_proba``.")
    predict_log_proba = _Method(
        "predict_log_proba", "As the source object's ``predict_log_proba``."
    )
    decision_function = _Method(
        "decision_function", "As the source object's ``decision_function``."
    )
    transform = _Method("transform", "As the source object's ``transform``.")
    score_samples = _Method("score_samples", "As the source object's ``score_samples``.")
    apply = _Method("apply", "As the source object's ``apply``: leaf numbers.")

    def __init__(
        self,
        program: Program,
        info: ModelInfo,
        engine: Engine,
        foreign: Mapping[str, Any] | None = None,
        source: Any = None,
        views: Mapping[str, CompiledModel] | None = None,
    ) -> None:
        self.program = program
        self.info = info
        self.source = source
        self.foreign = dict(foreign or {})
        self._engine = engine
        self._names = _output_names(program)
        self._reads = {m: program.only(*names).live() for m, names in self._names.items()}
        self._runnables: dict[tuple[str, tuple[str, ...]], Runnable] = {}
        self._rewritten: dict[tuple[str, ...], Program] = {}
        self._shared: dict[Any, Any] = {}
        self._by_dtype: dict[tuple[str, np.dtype[Any]], Runnable] = {}
        self._lock = threading.RLock()
        self._width = len(program.columns)
        self._flat = info.source == FLAT and program.form == "table"
        self._of_cell = CellFunctions(self) if program.form == "series" else None
        self._methods = {m: _bind(self, m) for m in program.methods}
        self._views = dict(views or {})

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.program, self.info, self._engine, self.foreign, self.source, self._views)
        return CompiledModel, state

    # -- what it is ------------------------------------------------------------------------
    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that it has."""
        return tuple(self._methods)

    @property
    def classes_(self) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
        """Class labels, as on the source object."""
        if self.info.classes is None:
            raise MethodMissingError.of("classes_", self.info.source, self.methods)
        return self.info.classes

    @property
    def n_features_in_(self) -> int:
        """Columns that the source was fitted on."""
        return self._width

    @property
    def feature_names_in_(self) -> npt.NDArray[Any]:
        """Names of the columns that the source was fitted on."""
        if not self.program.named:
            raise MethodMissingError.of("feature_names_in_", self.info.source, self.methods)
        return np.array([c.name for c in self.program.columns], dtype=object)

    @property
    def used_columns(self) -> tuple[str, ...]:
        """Names of the columns that are read; the others may be left out of a frame."""
        return tuple(self.program.columns[c].name for c in self.program.used_columns)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Names of the columns that ``transform`` returns."""
        if input_features is not None and hasattr(self.source, "get_feature_names_out"):
            return self.source.get_feature_names_out(input_features)
        if self.info.feature_names_out is None:
            raise MethodMissingError.of("get_feature_names_out", self.info.source, self.methods)
        return np.array(self.info.feature_names_out, dtype=object)

    def describe(self) -> Description:
        """What became what, what falls back and why, the columns that are read, the size."""
        from millrace.runtime.describe import Description

        return Description.of(self)

    def __repr__(self) -> str:
        return f"CompiledModel({self.info.source}, methods={list(self.methods)})"

    def _repr_html_(self) -> str:
        return self.describe()._repr_html_()

    # -- running ---------------------------------------------------------------------------
    def runnable(self, method: str, binding: tuple[str, ...]) -> Runnable:
        """The executable of one method for columns of these dtypes."""
        key = (method, binding)
        found = self._runnables.get(key)
        if found is None:
            with self._lock:
                found = self._runnables.get(key)
                if found is None:
                    if binding not in self._rewritten:
                        self._rewritten[binding] = self._engine.rewrite(self.program.bound(binding))
                    program = self._rewritten[binding].only(*self._names[method]).live()
                    found = self._engine.prepare(program, self.foreign, self._shared)
                    self._runnables[key] = found
        return found

    def call(self, method: str, rows: Any) -> Any:
        """Run one method, or one with an option: ``"predict(raw_score)"``."""
        if type(rows) is np.memmap:
            rows = rows.view(np.ndarray)
        if type(rows) is np.ndarray and rows.dtype.kind in "fiub" and self._takes_matrix:
            if rows.ndim == 1 and self._flat:
                rows = rows[:, None]
            if rows.ndim != 2:
                raise ShapeError.wrong_dimensions(rows.ndim)
            n_rows, width = rows.shape
            if width != self._width:
                raise ShapeError.wrong_width(width, self._width)
            runnable = self._by_dtype.get((method, rows.dtype))
            if runnable is not None:
                if n_rows == 1:
                    answer = runnable.row(rows[0])
                    if answer is not None:
                        return self._answer(method, answer)
                return self._answer(method, runnable.run(rows, n_rows))
        if self._of_cell is not None:
            answer = self._of_cell(method, rows)
            if answer is not None:
                return answer
        answer = self.form_of(rows).run_batch(method, rows)
        if (
            type(rows) is np.ndarray
            and self._takes_matrix
            and rows.dtype.isnative
            and rows.dtype.itemsize <= 8
        ):
            uniform = (str(rows.dtype),) * self._width
            self._by_dtype[method, rows.dtype] = self.runnable(method, uniform)
        return answer

    def run_batch(self, method: str, rows: Any) -> Any:
        """Run one method on rows of any container that is of this program's form."""
        if method not in self._names:
            raise SparseInputError.no_method(method, self.info.source)
        return self._answered(method, self.adapt(method, rows))

    def _answered(self, method: str, batch: Batch) -> Any:
        outputs = self.runnable(method, batch.binding).run(batch.columns, batch.n_rows)
        return self._answer(method, outputs)

    @property
    def _takes_matrix(self) -> bool:
        return self.program.form == "table"

    def form_of(self, rows: Any) -> CompiledModel:
        """The model for the form of these rows: for sparse rows another than for a table.

        Raises
        ------
        SparseInputError
            A step needs dense rows.
        """
        if self._takes_matrix and is_sparse(rows):
            if not hasattr(rows, "tocsr") and reads_by_column([s[1] for s in self.info.steps]):
                return self
            try:
                return self.view(sparse_kind(rows))
            except SparseInputError as error:
                raise error.for_rows(rows.shape) from error.__cause__
        return self

    def view(self, form: str) -> CompiledModel:
        """The model of the same source for another form of input; see `Engine.view`."""
        if form not in self._views:
            with self._lock:
                if form not in self._views:
                    self._views[form] = self._engine.view(self, form)
        return self._views[form]

    @property
    def inverse_transform(self) -> Callable[[Any], Any]:
        """As the source object's ``inverse_transform``."""
        return inverse_of(self)

    def adapt(self, method: str, rows: Any) -> Batch:
        """The columns that a method reads, from any table-like object."""
        info = self.info
        return adapt(rows, self._reads[method], info.ignore_extra, self._flat, info.derived)

    def framed(self, rows: Any) -> Any:
        """The answer of ``transform`` in the container that `set_output` chose."""
        model = self.form_of(rows)
        (output,) = (o for o in model.program.outputs if o.name == "transform")
        batch = model.adapt("transform", rows)
        block = model._answered("transform", batch)
        dtypes = column_dtypes(model.program, output.step, batch.binding)
        names = self.info.feature_names_out
        if names is None:
            names = [c.name for c in self.program.columns]
        return frame(block, names, dtypes, rows, self.info.output)

    def _answer(self, method: str, outputs: dict[str, Any]) -> Any:
        names = self._names[method]
        name = names[0]
        if len(names) > 1 or "/" in name:
            return [outputs[n] for n in names]
        answer, depth = outputs[name], self.program.cubes.get(name)
        if depth is None:
            return answer
        return answer.reshape(len(answer), answer.shape[1] // depth, depth)

    # -- one row ---------------------------------------------------------------------------
    def row_function(self, method: str | None = None) -> RowFunction:
        """A prepared call for one row at a time, with all lookups done once.

        Parameters
        ----------
        method : str, optional
            ``predict`` where there is one, else the first method.

        Returns
        -------
        callable
            Takes a dict by column name, a one-dimensional array, a sequence or a pandas row; for a
            model of texts, labels or collections one of these. Returns what the method gives for that
            row: a scalar, or an array for a matrix.
        """
        wanted = method or ("predict" if "predict" in self._methods else self.methods[0])
        if wanted not in self._names:
            raise MethodMissingError.of(wanted, self.info.source, self.methods)
        return RowFunction(self, wanted)

    def predict_one(self, row: Any) -> Any:
        """``predict`` of one row given as a dict, a one-dimensional array, a sequence or a text."""
        return self._row("predict")(row)

    def predict_proba_one(self, row: Any) -> npt.NDArray[Any]:
        """``predict_proba`` of one row; see `predict_one`."""
        return self._row("predict_proba")(row)

    def _row(self, method: str) -> RowFunction:
        function = self.__dict__.get(f"_row_{method}")
        if function is None:
            if method not in self._methods:
                raise MethodMissingError.of(method, self.info.source, self.methods)
            function = self.__dict__.setdefault(f"_row_{method}", self.row_function(method))
        return function

    # -- ways out --------------------------------------------------------------------------
    def to_onnx(self, **options: Any) -> Any:
        """The model in ONNX's standard form; see `millrace.compiler.export_onnx.to_onnx`."""
        return self._engine.export("onnx", self, options)

    def to_c(self, **options: Any) -> Any:
        """The model as C99 source; see `millrace.compiler.export_c.to_c`."""
        return self._engine.export("c", self, options)

    # -- keeping ---------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the model file; see `docs/model-file.md`. The old file stays whole on any failure.

        Raises
        ------
        ModelFileError
            The model calls foreign code, or the file cannot be written.
        """
        from millrace.runtime.file import save

        return save(self, Path(path), self._engine.kept(self))

    def verify(
        self,
        rows: Any = None,
        *,
        source: Any = None,
        seconds: float = 5.0,
        raise_on_difference: bool = True,
    ) -> Any:
        """Compare with the source object on rows made to break it, and on `rows`.

        Parameters
        ----------
        rows : table-like, optional
            A sample of real rows of the kind that the source was fitted on.
        source : object, optional
            The fitted object; needed for a model that was loaded from a file.
        seconds : float
            Time limit for the rows that are made up.
        raise_on_difference : bool

        Returns
        -------
        Report

        Raises
        ------
        VerificationError
        """
        rows = for_source(rows, self.program.form)
        if self.info.derived:
            rows = with_parts(rows, self.info.derived, [c.name for c in self.program.columns])
        return self._engine.verify(
            self,
            source if source is not None else self.source,
            rows,
            seconds=seconds,
            raise_on_difference=raise_on_difference,
        )


def _output_names(program: Program) -> dict[str, tuple[str, ...]]:
    """Method, or method with an option -> its outputs."""
    names: dict[str, list[str]] = {}
    for output in program.outputs:
        names.setdefault(output.name.split("/")[0], []).append(output.name)
    return {k: tuple(v) for k, v in names.items()}


def _bind(model: CompiledModel, method: str) -> Callable[..., Any]:
    """The method as a function of rows and options; it pickles, with the model."""
    options = {name[len(method) + 1 : -1] for name in model._names if name.startswith(f"{method}(")}
    bound = partial(_run, model, method, options)
    vars(bound).update(__name__=method, __doc__=f"As the source object's ``{method}``.")
    return bound


def _run(model: CompiledModel, method: str, options: set[str], X: Any, **chosen: Any) -> Any:
    plain = method in model._names
    if not chosen and plain:
        if method == "transform" and model.info.output != "default":
            return model.framed(X)
        return model.call(method, X)
    wanted = [_option_name(k, v) for k, v in chosen.items() if v not in (False, None)]
    unknown = [w for w in wanted if w not in options]
    if unknown or len(wanted) > 1 or (not wanted and not plain):
        raise TypeError(
            f"{method}() of a compiled {model.info.source} takes one of the options "
            f"{sorted(options)}, got {chosen}"
        )
    return model.call(f"{method}({wanted[0]})" if wanted else method, X)


def _option_name(key: str, value: Any) -> str:
    """``raw_score=True`` is ``raw_score``; ``prediction_type="Probability"`` is its value."""
    return key if value is True else str(value)
