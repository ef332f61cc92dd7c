"""The instructions of the machine (`kernels.machine`), and its memory while a program is written.

Words of an instruction: the address of its operation; number of cells; up to three strides in bytes; up
to three places; then what the operation alone knows. A place is a byte in the scratch memory, or, where
it is negative, in the model's own memory (its instructions, then its constants), or from `OUT` on, in
the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

WORDS = 16
"""Words of an instruction."""

OUT = 1 << 40
"""Places from here on are in the answer."""

(
    LOOP,
    COPY,
    TAKE,
    CAST,
    WHERE,
    PRODUCT,
    ARGUMENT,
    SQUARE_SUM,
    RUNNING_SUM,
    ONE_HOT,
    EDGES,
    BETWEEN,
    SORT,
    GUARD,
    GATHER,
    CODE,
    REQUIRE,
    PICK,
    FAR,
    NEAR,
) = range(20)
"""The operations."""

COUNT, STRIDE, PLACE, MORE = 1, 2, 5, 8
"""Where the words of an instruction begin: cells, strides, places, all others."""

N_INSTRUCTIONS, SCRATCH, INPUT, MACHINE, HEADER = range(5)
"""Words at the head of a model's memory: instructions, bytes of scratch, cells of the row, machine."""

SQUARED, CITYBLOCK, CHEBYSHEV = range(3)
"""How the differences to a point are added up."""

Array = npt.NDArray[Any]

F8, F4, I8, I4, BOOL = (np.dtype(n) for n in ("float64", "float32", "int64", "int32", "bool"))

KINDS: dict[np.dtype[Any], Any] = {
    **{np.dtype(n): np.dtype(n).type for n in ("int8", "uint8", "int16", "uint16", "uint32")},
    **{d: d.type for d in (F8, F4, I8, I4)},
    BOOL: np.uint8,
}
"""The dtypes that the machine knows, and as what it reads their cells."""


class Unsupported(Exception):
    """The machine cannot run this program."""


@dataclass(frozen=True)
class Value:
    """What a step gives: cells of one dtype at a place of the machine's memory, side by side."""

    place: int
    dtype: np.dtype[Any]
    width: int

    def part(self, first: int, width: int) -> Value:
        """Some neighbouring cells."""
        bytes_on = first * self.dtype.itemsize
        return Value(
            self.place - bytes_on if self.place < 0 else self.place + bytes_on, self.dtype, width
        )


@dataclass
class Code:
    """Instructions and constants while they are written.

    A place in the model's memory is negative and counts from its beginning, where the instructions are:
    how many there will be is not known yet, so constants are counted from 0 and moved at the end.
    """

    words: list[list[int]] = field(default_factory=list)
    operations: list[tuple[Any, ...]] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    n_bytes: int = 0
    scratch: int = 0
    kept: list[Any] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)

    def room(self, dtype: np.dtype[Any], width: int) -> Value:
        """Cells of the scratch memory that nothing else uses."""
        if dtype not in KINDS:
            raise Unsupported
        place, size = self.scratch, width * dtype.itemsize
        self.scratch += (size + 63) // 64 * 64
        return Value(place, dtype, width)

    def constant(self, cells: Array) -> Value:
        """Cells of the model's memory; their place is the negative of one more than their first byte."""
        raw = np.ascontiguousarray(cells)
        place = -1 - self.n_bytes
        raw_bytes = raw.tobytes()
        padding = -len(raw_bytes) % 64
        self.constants.append(raw_bytes + bytes(padding))
        self.n_bytes += len(raw_bytes) + padding
        return Value(place, raw.dtype, raw.size)

    def address(self, cells: Array) -> int:
        """Such a place as a word that the operation itself looks at."""
        return self.constant(cells).place

    def emit(
        self,
        operation: int,
        n: int,
        places: Sequence[int],
        strides: Sequence[int] = (),
        more: Sequence[int] = (),
        at: Sequence[int] = (),
        choice: tuple[Any, ...] = (),
    ) -> None:
        """Write one instruction; the words `more[i]` for i in `at` are places of constants.

        `choice` says which of the forms of an operation it is; see `kernels.operations`.
        """
        words = [0] * WORDS
        words[COUNT] = n
        for first, values in ((STRIDE, strides), (PLACE, places), (MORE, more)):
            words[first : first + len(values)] = list(values)
        self.words.append(words)
        self.operations.append((operation, *choice))
        self.moved += [(len(self.words) - 1, MORE + i) for i in at]

    def memory(self, width: int, machine: int) -> Array:
        """The model's memory: head, instructions, constants; for rows of a width."""
        head = 8 * (HEADER + len(self.words) * WORDS)
        head += -head % 64
        from millrace.backends.numba.kernels.machine import OPERATIONS

        for words, operation in zip(self.words, self.operations, strict=True):
            if operation[0] != LOOP:
                words[0] = OPERATIONS.address(*operation)
            for i in range(PLACE, PLACE + 3):
                if words[i] < 0:
                    words[i] = words[i] + 1 - head
        for k, i in self.moved:
            self.words[k][i] = self.words[k][i] + 1 - head
        whole = np.zeros((head + self.n_bytes + 64) // 8, np.int64)
        whole[:HEADER] = len(self.words), self.scratch, width, machine
        if self.words:
            whole[HEADER : HEADER + len(self.words) * WORDS] = np.concatenate(self.words)
        raw = np.frombuffer(b"".join(self.constants), np.uint8)
        whole.view(np.uint8)[head : head + len(raw)] = raw
        return whole
