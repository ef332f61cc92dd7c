"""Writing a table file whole or not at all."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa

from millrace.data.formats import EXTENSIONS, Format, format_of
from millrace.errors import FileInputError, ModelFileError


class _Sink:
    """A stream that Arrow writes to and may not close; cut off, it takes no more."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.is_cut = False

    def write(self, data: bytes) -> int:
        return len(data) if self.is_cut else self._stream.write(data)

    def flush(self) -> None:
        if not self.is_cut:
            self._stream.flush()

    def close(self) -> None:
        self.flush()


class StreamWriter:
    """Batches into an open binary stream, which stays open.

    Parameters
    ----------
    stream : binary file object
    schema : pyarrow.Schema
    format : Format
        CSV: a null is an empty cell, text is quoted where needed, floats are written with the
        digits that read back to the same number.

    Use it in a ``with`` statement: Parquet and Arrow end with an index that is written there.
    """

    def __init__(self, stream: BinaryIO, schema: pa.Schema, format: Format) -> None:
        self.schema = schema
        self._sink = _Sink(stream)
        self._compressed: Any = None
        sink: Any = self._sink
        if format.compression:
            sink = self._compressed = pa.CompressedOutputStream(sink, format.compression)
        match format.layout:
            case "csv":
                from pyarrow.csv import CSVWriter, WriteOptions

                options = WriteOptions(delimiter=format.delimiter)
                self._writer: Any = CSVWriter(sink, schema, write_options=options)
            case "parquet":
                from pyarrow.parquet import ParquetWriter

                self._writer = ParquetWriter(sink, schema)
            case "arrow":
                self._writer = pa.ipc.new_file(sink, schema)
            case "json":
                raise FileInputError.unknown_format("a JSON file to write", EXTENSIONS)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; their columns are those of the schema, in its order."""
        if not batch.schema.equals(self.schema):
            batch = batch.cast(self.schema)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Write what is still held and the index; the stream itself stays open."""
        self._writer.close()
        if self._compressed is not None:
            self._compressed.close()

    def abandon(self) -> None:
        """Write no more: neither what is held nor an index."""
        self._sink.is_cut = True
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()


class TableWriter:
    """A new table file, which takes its name when it is whole.

    Rows go to a file beside `path`. When the ``with`` block ends well the file is brought to
    disk (fsync) and renamed to `path`; after an error it is removed. A killed process leaves
    the old file as it was, and at most a file ``.<name>.<random>.part`` beside it.

    Parameters
    ----------
    path : path-like
        Its name tells the format; see `millrace.data`.
    schema : pyarrow.Schema

    Raises
    ------
    FileInputError
        The name tells no known format.
    ModelFileError
        The file cannot be written: no such folder, no permission, a full disk.

    Examples
    --------
    >>> import pyarrow as pa, tempfile
    >>> path = tempfile.mkdtemp() + "/scores.csv"
    >>> batch = pa.record_batch({"score": [0.25, 1.5]})
    >>> with TableWriter(path, batch.schema) as writer:
    ...     writer.write(batch)
    >>> Path(path).read_text().split()
    ['"score"', '0.25', '1.5']
    """

    def __init__(self, path: str | os.PathLike[str], schema: pa.Schema) -> None:
        format = format_of(path)
        self.path = Path(path)
        self.n_rows = 0
        # A link keeps its place: what it points to is replaced.
        self._target = Path(os.path.realpath(path))
        name = f".{self._target.name}.{secrets.token_hex(4)}.part"
        self._aside = self._target.with_name(name)
        self._undo = contextlib.ExitStack()
        with self._writing():
            if self._target.exists() and not self._target.is_file():
                raise ModelFileError.cannot_write(path, "it is not a regular file")
            self._file = self._aside.open("xb")
            self._undo.callback(self._aside.unlink, missing_ok=True)
            self._undo.callback(self._file.close)
            self._writer = StreamWriter(self._file, schema, format)
            self._undo.callback(self._writer.abandon)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; their columns are those of the schema, in its order."""
        with self._writing():
            self._writer.write(batch)
            self.n_rows += batch.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.discard()
            return
        with self._writing():
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self._target.exists():
                self._aside.chmod(self._target.stat().st_mode)
            self._aside.replace(self._target)
            self._undo.pop_all()
            _sync_folder(self._target.parent)

    def discard(self) -> None:
        """Give up: remove what was written; the old file stays."""
        with contextlib.suppress(OSError):
            self._undo.close()

    @contextlib.contextmanager
    def _writing(self) -> Generator[None]:
        """Tell errors of the file system and of Arrow as `ModelFileError`, and clean up."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            self.discard()
            why = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise ModelFileError.cannot_write(self.path, why) from error
        except BaseException:
            self.discard()
            raise


def _sync_folder(folder: Path) -> None:
    """Bring the new name to disk too, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
