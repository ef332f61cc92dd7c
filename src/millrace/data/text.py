"""Reading files of lines: blocks are cut at line ends and parsed by several threads at once."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data.formats import Compression
from millrace.data.source import without_first
from millrace.errors import FileInputError

BLOCK = 2 << 20
"""Bytes that one thread parses at once; smaller ones cost more, larger ones wait longer."""

_ROW, _LEAST = 256, 1 << 17
"""Who wants batches of few rows may want no more than the first one: blocks have so many bytes for a row
of theirs, and so many at least."""

LONGEST = 16 << 20
"""Bytes without an end of line after which a file is left to Arrow's own reader."""

_THREADS = 4


@dataclass(frozen=True, eq=False)
class Block:
    """Whole lines: the first `size` bytes of a piece of memory.

    Attributes
    ----------
    room : bytearray
    size : int
    has_quotes : bool
    """

    room: bytearray
    size: int
    has_quotes: bool

    @property
    def lines(self) -> memoryview:
        """The bytes."""
        return memoryview(self.room)[: self.size]

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing but white space."""
        return not bytes(self.lines[:256]).strip() and not bytes(self.lines).strip()


class Cutter:
    """Cut a stream of bytes into blocks that end where a line ends.

    Parameters
    ----------
    stream : object with ``readinto``
    quoted : bytes, optional
        The delimiter of a CSV file. There a line end within quotes ends no line; whether it is within
        them follows from the count of quotes as long as each stands at an end of a cell. `None` where
        every line end counts.
    size : int
        Bytes of a block, unless a line is longer.

    Attributes
    ----------
    rest : bytes
        What was read and not given out, where the bytes do not tell where a line ends.
    """

    def __init__(self, stream: Any, quoted: bytes | None, size: int) -> None:
        self.rest = b""
        self._stream = stream
        self._size = size
        self._free: deque[bytearray] = deque()
        self._quoted = quoted
        if quoted is not None:
            self._before = np.isin(np.arange(256), [ord(quoted), 10, 34])
            self._after = np.isin(np.arange(256), [ord(quoted), 10, 13, 34])

    def __iter__(self) -> Iterator[Block]:
        held = b""
        while True:
            room = self._room(len(held))
            room[: len(held)] = held
            n_read = self._stream.readinto(memoryview(room)[len(held) :])
            size = len(held) + n_read
            if not n_read:
                if held:
                    yield Block(room, size, room.find(b'"', 0, size) >= 0)
                return
            has_quotes = self._quoted is not None and room.find(b'"', 0, size) >= 0
            end = self._end(room, size) if has_quotes else room.rfind(b"\n", 0, size) + 1
            if end is None or (end == 0 and size > LONGEST):
                self.rest = bytes(room[:size])
                return
            held = bytes(memoryview(room)[end:size])
            if end:
                yield Block(room, end, has_quotes)

    def give_back(self, block: Block) -> None:
        """Say that a block is done with: fresh memory for each would cost as much as reading."""
        self._free.append(block.room)

    def _room(self, held: int) -> bytearray:
        while self._free:
            room = self._free.popleft()
            if len(room) >= 2 * held:
                return room
        return bytearray(max(self._size, 2 * held))

    def _end(self, room: bytearray, size: int) -> int | None:
        """Where the last whole line ends; None where that cannot be told."""
        letters = np.frombuffer(room, np.uint8, size)
        quotes = np.flatnonzero(letters == 34)
        opening, closing = quotes[::2], quotes[1::2]
        if not self._before[letters[opening[opening > 0] - 1]].all():
            return None
        if not self._after[letters[closing[closing < size - 1] + 1]].all():
            return None
        end = room.rfind(b"\n", 0, size)
        while end >= 0 and (before := int(np.searchsorted(quotes, end))) % 2:
            end = room.rfind(b"\n", 0, int(quotes[before - 1]))
        return end + 1


class Rest:
    """A readable file: some bytes, then a stream."""

    closed = False

    def __init__(self, begin: bytes, stream: Any) -> None:
        self.begin = begin
        self._stream = stream

    def read(self, n: int) -> bytes:
        if not self.begin:
            return self._stream.read(n)
        found, self.begin = self.begin[:n], self.begin[n:]
        return found

    def close(self) -> None:
        """The stream belongs to another."""


def in_order(
    parse: Callable[[int, Block], list[pa.RecordBatch]], blocks: Iterable[Block], threads: int
) -> Iterator[list[pa.RecordBatch]]:
    """Parse blocks in threads; the results come in order, and few are held."""
    with ThreadPoolExecutor(threads, "millrace-parse") as pool:
        waiting: deque[Future[list[pa.RecordBatch]]] = deque()
        try:
            for i, block in enumerate(blocks):
                waiting.append(pool.submit(parse, i, block))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for job in waiting:
                job.cancel()


class LineReader(ABC):
    """A file of lines; what a line is, a subclass knows.

    Attributes
    ----------
    path : Path
    schema : pyarrow.Schema
        Fixed once; the same for all blocks.
    n_rows : None
    """

    n_rows: int | None = None
    schema: pa.Schema
    row_bytes: float | None = None
    quoted: bytes | None = None

    def __init__(self, path: Path, compression: Compression | None) -> None:
        self.path = path
        self.compression: Compression | None = compression
        self.size = path.stat().st_size
        self._file: pa.NativeFile | None = None
        if self.size == 0:
            raise FileInputError.unreadable(path, "it is empty")

    @abstractmethod
    def parse(self, columns: Sequence[str], first: bool, block: Block) -> list[pa.RecordBatch]:
        """The rows of a block; `first` where it begins the file."""

    @abstractmethod
    def unreadable(self, error: pa.ArrowInvalid, block_rows: int) -> FileInputError:
        """An error of `parse`, for the block that begins with row `block_rows`."""

    def parse_rest(self, columns: Sequence[str], first: bool, rest: Rest) -> Iterator[Any]:
        """The rows of what could not be cut."""
        raise FileInputError.unreadable(self.path, f"a line is longer than {LONGEST:,} bytes")

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """Blocks of the file; the cells of other columns are not converted."""
        size = min(max(rows * _ROW, _LEAST), BLOCK)
        return without_first(self._read(columns, size), start)

    def _read(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        n_read = 0
        with self.open() as stream:
            cutter = Cutter(stream, self.quoted, size)

            def parse(i: int, block: Block) -> list[pa.RecordBatch]:
                found = self.parse(columns, i == 0, block)
                cutter.give_back(block)
                return found

            parsed = in_order(parse, cutter, threads())
            n_blocks = 0
            try:
                for batches in parsed:
                    n_blocks += 1
                    for batch in batches:
                        yield batch
                        n_read += batch.num_rows
                if cutter.rest:
                    rest = Rest(cutter.rest, stream)
                    for batch in self.parse_rest(columns, n_blocks == 0, rest):
                        yield batch
                        n_read += batch.num_rows
            except pa.ArrowInvalid as error:
                raise self.unreadable(error, n_read) from error

    def fraction_read(self) -> float | None:
        """By bytes, compressed ones where the file is."""
        if self._file is None:
            return None
        return 1.0 if self._file.closed else self._file.tell() / self.size

    @contextmanager
    def open(self) -> Generator[Any]:
        """The bytes of the file, decompressed."""
        with pa.OSFile(str(self.path)) as file:
            self._file = file
            if self.compression is None:
                yield file
            else:
                with pa.CompressedInputStream(file, self.compression) as stream:
                    yield stream

    def spots(self, size: int, count: int = 3) -> Iterator[bytes]:
        """Some lines from within a large file that is neither compressed nor quoted there."""
        if self.compression is not None or self.size < 8 * size * count:
            return
        with self.open() as file:
            for i in range(count):
                file.seek(self.size * (i + 1) // count - size)
                block = file.read(size)
                begin, end = block.find(b"\n") + 1, block.rfind(b"\n") + 1
                if begin < end and (self.quoted is None or b'"' not in block):
                    yield block[begin:end]


def threads() -> int:
    """Threads that parse: one a core that this process may use, four at most."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _THREADS)
    return min(os.cpu_count() or 1, _THREADS)
