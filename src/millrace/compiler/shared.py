"""A shared library of generated C as an object with a model's methods, for verification."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.errors import (
    ColumnTypeError,
    FileInputError,
    MethodMissingError,
    MillraceError,
    NonFiniteError,
    RefusedRowError,
    UnknownCategoryError,
)
from millrace.ir.arrays import Null
from millrace.ir.ops import Select
from millrace.ir.program import Column, Output, Program, Step
from millrace.runtime.inputs import adapt

ERRORS: dict[int, type[MillraceError]] = {
    1: NonFiniteError,
    2: UnknownCategoryError,
    3: RefusedRowError,
}
"""Kind of a status -> the error of a compiled model for such a row."""


@dataclass(frozen=True)
class SharedModel:
    """A model in a shared library; `millrace.compiler.export_c.load_shared` opens one.

    It has the methods that were exported, with the same names, options and answers.

    Attributes
    ----------
    about : dict
        What the library says of itself.
    library : ctypes.CDLL
    """

    about: Mapping[str, Any]
    library: ctypes.CDLL

    @classmethod
    def open(cls, path: Path) -> SharedModel:
        """Load a library."""
        try:
            library = ctypes.CDLL(str(path.resolve()))
            text = ctypes.string_at(
                ctypes.addressof(ctypes.c_char.in_dll(library, "millrace_about"))
            )
        except (OSError, ValueError) as error:
            raise FileInputError.unreadable(
                path, f"no library of build_shared ({error})"
            ) from error
        return cls(json.loads(text), library)

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods, and methods with an option."""
        return tuple(dict.fromkeys(o["name"].split("/")[0] for o in self.about["outputs"]))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in {m.split("(")[0] for m in self.methods}:
            raise MethodMissingError.of(name, self.about["source"], self.methods)

        def method(X: Any, **options: Any) -> Any:
            chosen = [
                k if v is True else str(v) for k, v in options.items() if v not in (None, False)
            ]
            return self.call(f"{name}({chosen[0]})" if chosen else name, X)

        return method

    def call(self, method: str, rows: Any) -> Any:
        """The answer of one method: ``"predict"``, ``"predict(raw_score)"``."""
        outputs = [o for o in self.about["outputs"] if o["name"].split("/")[0] == method]
        if not outputs:
            raise MethodMissingError.of(method, self.about["source"], self.methods)
        numbers, texts, n_rows = self._cells(rows)
        answers = [self._run(o, numbers, texts, n_rows) for o in outputs]
        return answers if "/" in outputs[0]["name"] else answers[0]

    # -- rows ------------------------------------------------------------------------------
    def _cells(self, rows: Any) -> tuple[npt.NDArray[Any], Any, int]:
        """Numbers as one matrix, texts as one array of pointers."""
        columns = self.about["columns"]
        if hasattr(rows, "tocsr"):
            rows = rows.toarray()
        if self.about["form"] == "series" and np.ndim(rows) == 1:
            rows = np.asarray(rows, object if columns[0]["kind"] == "text" else None)[:, None]
        batch = adapt(rows, self._reader(), self.about["ignore_extra"])
        n_texts = sum(c["kind"] == "text" for c in columns)
        numbers = np.zeros((batch.n_rows, len(columns) - n_texts), self.about["dtype"])
        texts = (ctypes.c_void_p * max(1, batch.n_rows * n_texts))()
        alive: list[Any] = []
        for column, data in zip(columns, batch.columns, strict=True):
            if data is None:
                continue
            if column["kind"] != "text":
                with np.errstate(over="ignore"):
                    numbers[:, column["at"]] = data
                continue
            cells = data.tolist() if isinstance(data, np.ndarray) else data.to_pylist()
            absent = "nan" if not isinstance(data, np.ndarray) else "none"
            for row, cell in enumerate(cells):
                texts[row * n_texts + column["at"]] = self._pointer(cell, absent, alive)
        return numbers, (texts, alive), batch.n_rows

    def _reader(self) -> Program:
        columns = self.about["columns"]
        made = tuple(
            Column(
                c["name"],
                c["kind"],
                None if c["categories"] is None else tuple(c["categories"]),
                c["strict"],
            )
            for c in columns
        )
        read = tuple(i for i, c in enumerate(columns) if c["read"])
        return Program(made, (Step(Select(read)),), (Output("rows", 0),), self.about["named"])

    def _pointer(self, cell: Any, absent: str, alive: list[Any]) -> int | None:
        """The address of a cell of text, or of the mark that stands for a missing one."""
        mark = None
        if cell is None:
            mark = absent
        elif isinstance(cell, Null):
            return None
        elif cell != cell or type(cell).__name__ == "NAType":
            mark = "nan"
        if mark is not None:
            return ctypes.addressof(
                ctypes.c_char.in_dll(self.library, f"{self.about['name']}_{mark}")
            )
        if not isinstance(cell, str) or "\0" in cell:
            raise ColumnTypeError.unsupported(
                f"the cell {cell!r} of a column of text", "a string without a zero byte"
            )
        alive.append(ctypes.create_string_buffer(cell.encode()))
        return ctypes.addressof(alive[-1])

    # -- answers ---------------------------------------------------------------------------
    def _run(self, output: Mapping[str, Any], numbers: Any, texts: Any, n_rows: int) -> Any:
        is_text = output["dtype"] == "object"
        shape = (n_rows, output["width"])
        answer = np.empty(shape, np.uintp if is_text else output["dtype"])
        refused = ctypes.c_size_t(0)
        arguments = [
            numbers.ctypes.data_as(ctypes.c_void_p),
            ctypes.cast(texts[0], ctypes.c_void_p),
            ctypes.c_size_t(n_rows),
            answer.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(refused),
        ]
        scratch = np.empty(output["scratch"], np.uint8)
        if output["scratch"]:
            arguments.append(scratch.ctypes.data_as(ctypes.c_void_p))
        status = getattr(self.library, f"{output['function']}_batch")(*arguments)
        if status:
            say = getattr(self.library, f"{self.about['name']}_strerror")
            say.restype = ctypes.c_char_p
            raise ERRORS[status & 15](f"Row {refused.value} is refused: {say(status).decode()}.")
        if is_text:
            answer = self._texts(answer).astype(output["text_dtype"])
        return _shaped(answer, output)

    def _texts(self, pointers: npt.NDArray[np.uintp]) -> npt.NDArray[np.object_]:
        marks: dict[int, Any] = {0: np.nan}
        for mark, value in (("nan", np.nan), ("none", None)):
            symbol = ctypes.c_char.in_dll(self.library, f"{self.about['name']}_{mark}")
            marks[ctypes.addressof(symbol)] = value
        cells = [
            marks[p] if p in marks else ctypes.string_at(p).decode()
            for p in pointers.ravel().tolist()
        ]
        return np.array([*cells, None], object)[:-1].reshape(pointers.shape)


def _shaped(answer: npt.NDArray[Any], output: Mapping[str, Any]) -> Any:
    if output["labels"] is not None:
        answer = np.array(output["labels"], output["labels_dtype"])[answer]
    if output["shape"] == "vector":
        return answer[:, 0]
    if output["shape"] == "cube":
        return answer.reshape(len(answer), -1, output["depth"])
    if output["shape"].startswith("csr"):
        import scipy.sparse as sp

        return getattr(sp, output["shape"])(answer)
    return answer
