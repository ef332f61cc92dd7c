"""Instructions on the columns of a tile, and the places that they get in its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.kernels import tile_form as kernel

Array = npt.NDArray[Any]

WHERES = {8: kernel.WHERE_8, 4: kernel.WHERE_4, 1: kernel.WHERE_1}

CACHE_BYTES = 16 << 10
"""What a tile takes at most, with the rows that it reads: half of a first-level cache."""

_LARGEST_TILE, _LEAST_TILE = 512, 128

_PRODUCTS = (kernel.PRODUCT_8, kernel.PRODUCT_ALONE_8)


@dataclass(eq=False)
class Column:
    """One column of a tile, or a constant.

    Attributes
    ----------
    dtype : str
    value : NumPy scalar, optional
        Of a constant.
    """

    dtype: str
    value: Any = None

    @property
    def is_constant(self) -> bool:
        return self.value is not None


@dataclass(eq=False)
class Instruction:
    """An instruction before places are given to its columns.

    Attributes
    ----------
    op : int
    to : Column, optional
        What it writes.
    inputs : tuple of Column
    numbers : tuple of int
        What else it needs.
    many : bool
        The inputs are a list in `places`.
    table : ndarray, optional
        Constants that it reads one after another.
    more : tuple of Column
        What else it writes.
    """

    op: int
    to: Column | None
    inputs: tuple[Column, ...] = ()
    numbers: tuple[int, ...] = ()
    many: bool = False
    table: Array | None = None
    more: tuple[Column, ...] = ()

    @property
    def written(self) -> tuple[Column, ...]:
        """All columns that it writes."""
        return () if self.to is None else (self.to, *self.more)


@dataclass(frozen=True)
class Code:
    """Instructions with places, as the kernel takes them.

    Attributes
    ----------
    code : int64 (n_instructions, `kernel.WIDTH`)
    places : int64 (n_places,)
    at : tuple of int
        The address of `code`, its length, and the address of `places`.
    memory : uint8 (n_bytes,)
        `kernel.HEAD` bytes, constants, then room for the columns; copied for each caller.
    tile : int
        Rows of a tile.
    """

    code: Array
    places: Array
    at: tuple[int, int, int]
    memory: Array
    tile: int


def placed(instructions: Sequence[Instruction]) -> Code:
    """Give every column its place: constants one after another, columns where others have ended."""
    slots, n_slots = _slots(instructions)
    n_loads = sum(_n_read(k) for k in instructions)
    tile = _LARGEST_TILE
    while tile > _LEAST_TILE and (n_slots + n_loads) * tile * 8 > CACHE_BYTES:
        tile //= 2
    constants_at, table_at, values = _constants(instructions)
    start = -(-len(values) // 64) * 64
    apart = tile * 8 + 64  # not a power of two: columns would meet in the same lines of the cache
    lanes = start + n_slots * apart
    n_lanes = 4 if any(k.op == kernel.DOT_ALONE_8 for k in instructions) else 0
    memory = np.zeros(lanes + n_lanes * apart, np.uint8)
    memory[: len(values)] = np.frombuffer(values, np.uint8)

    def place(column: Column) -> int:
        return constants_at[column] if column.is_constant else start + slots[column] * apart

    places: list[int] = []
    lines = [_line(k, place, places, table_at.get(i, 0)) for i, k in enumerate(instructions)]
    for line in lines:
        if line[0] == kernel.DOT_ALONE_8:
            line += [lanes, apart]
    for one, many in ((kernel.LOAD_8, kernel.LOAD_MANY), (kernel.STORE_8, kernel.STORE_MANY)):
        lines = _side_by_side(lines, one, many, places)
    return _coded(lines, places, memory, tile)


def _n_read(line: Instruction) -> int:
    """How many columns outside an instruction reads."""
    if line.op in _PRODUCTS:
        return line.numbers[1]
    return int(line.op in (kernel.LOAD_8, kernel.LOAD_4, kernel.LOAD_1))


def _coded(lines: list[list[int]], places: list[int], memory: Array, tile: int) -> Code:
    """The instructions as the kernel takes them, with the addresses of their operations."""
    from millrace.backends.numba.kernels.tiles import OPERATIONS

    code = np.zeros((len(lines), kernel.WIDTH), np.int64)
    for k, numbers in enumerate(lines):
        code[k, : len(numbers)] = numbers
        if numbers[0] != kernel.CALL:
            code[k, 0] = OPERATIONS.address(numbers[0])
    listed = np.array(places or [0], np.int64)
    at = code.ctypes.data, len(code), listed.ctypes.data
    return Code(code, listed, at, memory, tile)


def _side_by_side(
    lines: list[list[int]], one: int, many: int, places: list[int]
) -> list[list[int]]:
    """Moves of one column each, of neighbouring ports, as one move of all of them."""
    answer: list[list[int]] = []
    at = 0
    while at < len(lines):
        run = [lines[at]]
        for line in lines[at + 1 :]:
            if run[0][0] != one or line[0] != one or line[2] != run[-1][2] + 1:
                break
            run.append(line)
        at += len(run)
        if len(run) == 1:
            answer += run
            continue
        answer.append([many, run[0][2], len(places), len(places) + len(run)])
        places += [line[1] for line in run]
    return answer


def _line(
    line: Instruction, place: Callable[[Column], int], places: list[int], table: int
) -> list[int]:
    """The numbers of an instruction."""
    step = [0 if c.is_constant else np.dtype(c.dtype).itemsize for c in line.inputs]
    at = [place(c) for c in line.inputs]
    if line.op == kernel.CALL:
        assert line.to is not None
        size = np.dtype(line.to.dtype).itemsize
        pairs = [*zip(at, step, strict=True), (place(line.to), size), (0, 0)]
        return [line.op, *line.numbers, 0, *(n for pair in pairs[:3] for n in pair)]
    to = [] if line.to is None else [place(line.to)]
    if line.op in _PRODUCTS:
        port, count, guard = line.numbers
        if line.op == kernel.PRODUCT_ALONE_8:
            return [line.op, *to, port, count, table, guard]
        first = len(places)
        places += [place(c) for c in line.written]
        return [line.op, first, len(places), port, count, table, guard]
    if line.many:
        first = len(places)
        places += at
        return [line.op, *to, first, len(places), table]
    if line.op in WHERES.values():
        return [line.op, *to, at[0], at[1], step[1], at[2], step[2]]
    if line.op == kernel.PICK_8:
        return [line.op, *to, at[0], table, *line.numbers]
    return [line.op, *to, *at, *line.numbers]


def _slots(instructions: Sequence[Instruction]) -> tuple[dict[Column, int], int]:
    """A slot for every column, which is free again after its last use."""
    last: dict[Column, int] = {}
    for k, line in enumerate(instructions):
        for column in (*line.inputs, *line.written):
            last[column] = k
    slots: dict[Column, int] = {}
    free: list[int] = []
    n_slots = 0
    for k, line in enumerate(instructions):
        for column in line.written:
            if not free:
                free.append(n_slots)
                n_slots += 1
            slots[column] = free.pop()
        for column in {*line.inputs, *line.written}:
            if last[column] == k and column in slots:
                free.append(slots[column])
    return slots, n_slots


def _constants(
    instructions: Sequence[Instruction],
) -> tuple[dict[Column, int], dict[int, int], bytes]:
    """Where each constant and each table lies, and their bytes."""
    at: dict[Column, int] = {}
    tables: dict[int, int] = {}
    known: dict[bytes, int] = {}
    values = bytes(kernel.HEAD)
    for k, line in enumerate(instructions):
        pieces: list[tuple[Column | int, bytes]] = [
            (c, np.asarray(c.value).tobytes()) for c in line.inputs if c.is_constant
        ]
        if line.table is not None:
            pieces.append((k, line.table.tobytes()))
        for owner, piece in pieces:
            if piece not in known:
                known[piece] = len(values)
                values += piece + b"\0" * (-len(piece) % 8)
            if isinstance(owner, int):
                tables[owner] = known[piece]
            else:
                at[owner] = known[piece]
    return at, tables, values
