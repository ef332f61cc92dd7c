"""A spool: batches put aside on disk as they pass by, to be read again faster than their source.

Every batch is an uncompressed Arrow IPC stream of its own, so any of them can be read alone and
dictionaries may differ from batch to batch. The file has no name: it is gone as soon as the process
is, however that ends. It is read, not mapped, because mapped pages count as memory of the process.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pyarrow as pa

from millrace.errors import FileInputError


class _Behind:
    """A file as Arrow writes to it: column by column from where they lie, without a copy of the batch."""

    closed = False

    def __init__(self, file: int, at: int) -> None:
        self.file, self.at = file, at

    def write(self, content: object) -> int:
        left = memoryview(content).cast("B")  # type: ignore[arg-type]
        size = len(left)
        while left:
            done = os.pwrite(self.file, left, self.at)
            left, self.at = left[done:], self.at + done
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The file is the spool's."""


class Spool:
    """Batches in a nameless temporary file.

    Parameters
    ----------
    folder : path-like, optional
        Where the file takes its room; the system's temporary folder (``TMPDIR``) by default.
    schema : pyarrow.Schema
        Of every batch.

    Attributes
    ----------
    schema : pyarrow.Schema
    n_rows, n_batches, nbytes : int
        What was appended so far; bytes are those on disk.

    Raises
    ------
    FileInputError
        The file cannot be made, or (from `append`) the disk is full. What was appended before can
        still be read.

    Notes
    -----
    Exact: the batches come back with the same types, values and nulls; the values of numeric columns
    are not copied once more after the read.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, schema: pa.Schema) -> None:
        self.schema = schema
        self.n_rows = 0
        self.nbytes = 0
        self._folder = tempfile.gettempdir() if folder is None else os.fspath(folder)
        self._places: list[tuple[int, int]] = []
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise FileInputError.spool(self._folder, error.strerror or str(error)) from error

    @property
    def n_batches(self) -> int:
        return len(self._places)

    def append(self, batch: pa.RecordBatch) -> None:
        """Put a batch behind the others."""
        target = _Behind(self._file.fileno(), self.nbytes)
        sink = pa.PythonFile(target, mode="w")
        try:
            with pa.ipc.new_stream(sink, self.schema) as writer:
                writer.write_batch(batch)
        except OSError as error:
            raise FileInputError.spool(self._folder, error.strerror or str(error)) from error
        self._places.append((self.nbytes, target.at - self.nbytes))
        self.nbytes = target.at
        self.n_rows += batch.num_rows

    def batches(self, first: int = 0) -> Iterator[pa.RecordBatch]:
        """The batches from number `first` on. Several readers do not disturb each other."""
        for begin, size in self._places[first:]:
            yield self._read(begin, size)

    def close(self) -> None:
        """Give the disk its room back; batches that were read stay valid."""
        self._file.close()
        self._places = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, begin: int, size: int) -> pa.RecordBatch:
        buffer = pa.allocate_buffer(size)
        room, done = memoryview(buffer).cast("B"), 0
        try:
            while done < size:
                count = os.preadv(self._file.fileno(), [room[done:]], begin + done)
                if count == 0:
                    raise FileInputError.spool(self._folder, "its file was cut off")
                done += count
        except OSError as error:
            raise FileInputError.spool(self._folder, error.strerror or str(error)) from error
        with pa.ipc.open_stream(buffer) as reader:
            return reader.read_next_batch()
