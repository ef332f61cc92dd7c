"""What a table file is.

Enters: a path. Leaves: an Arrow schema and record batches, read in constant memory with only the
columns that are asked for; or batches go in and a whole file is left, or the old one untouched.
Never: knows a model, keeps a table in memory, or leaves half a file.

CSV (``.csv``, ``.tsv``, also with ``.gz`` or ``.zst`` behind), Parquet (``.parquet``, ``.pq``) and
Arrow IPC (``.arrow``, ``.feather``, ``.ipc``) are told by their names.
"""

from millrace.data.formats import EXTENSIONS, Format, format_of
from millrace.data.table import CsvOptions, Table, open_table
from millrace.data.writer import StreamWriter, TableWriter

__all__ = [
    "EXTENSIONS",
    "CsvOptions",
    "Format",
    "StreamWriter",
    "Table",
    "TableWriter",
    "format_of",
    "open_table",
]
