"""What a table is.

Enters: a path, a frame, a stream, a query, an array. Leaves: an Arrow schema and record batches of a
fixed number of rows, read in constant memory with only the columns that are asked for; or batches go in
and a whole file is left, or the old one untouched. Never: knows a model, keeps a table in memory, or
leaves half a file.

CSV (``.csv``, ``.tsv``) and JSON lines (``.jsonl``, ``.ndjson``), also with ``.gz`` or ``.zst`` behind,
Parquet (``.parquet``, ``.pq``), Arrow IPC (``.arrow``, ``.feather``, ``.ipc``) and NumPy (``.npy``) are
told by their names. JSON lines and NumPy are read only.
"""

# First, since it chooses the allocator while Arrow is loaded.
import millrace.data.allocator  # noqa: F401  # pyright: ignore[reportUnusedImport]
from millrace.data.formats import EXTENSIONS, READABLE, Format, format_of
from millrace.data.options import CsvOptions
from millrace.data.prefetch import prefetch
from millrace.data.scan import scan
from millrace.data.shuffle import shuffled
from millrace.data.splits import Folds, TrainTest
from millrace.data.spool import Spool
from millrace.data.table import Table, open_table
from millrace.data.writer import StreamWriter, TableWriter

__all__ = [
    "EXTENSIONS",
    "READABLE",
    "CsvOptions",
    "Folds",
    "Format",
    "Spool",
    "StreamWriter",
    "Table",
    "TableWriter",
    "TrainTest",
    "format_of",
    "open_table",
    "prefetch",
    "scan",
    "shuffled",
]
