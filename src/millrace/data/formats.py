"""Which format a file has, by its name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from millrace.errors import FileInputError

Layout = Literal["csv", "parquet", "arrow", "json"]
Compression = Literal["gzip", "zstd"]


@dataclass(frozen=True)
class Format:
    """How a table is written down.

    Attributes
    ----------
    layout : {"csv", "parquet", "arrow", "json"}
        JSON stands for JSON lines, which are read and not written.
    delimiter : str
        Between the cells of a CSV file.
    compression : {"gzip", "zstd"}, optional
        Around a text file; Parquet and Arrow compress inside.
    """

    layout: Layout
    delimiter: str = ","
    compression: Compression | None = None


_LAYOUTS = {
    ".csv": Format("csv"),
    ".tsv": Format("csv", "\t"),
    ".parquet": Format("parquet"),
    ".pq": Format("parquet"),
    ".arrow": Format("arrow"),
    ".feather": Format("arrow"),
    ".ipc": Format("arrow"),
}
_READ_ONLY = {".jsonl": Format("json"), ".ndjson": Format("json")}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}

EXTENSIONS = (*_LAYOUTS, ".csv.gz", ".csv.zst", ".tsv.gz", ".tsv.zst")
"""Of files that can be written and read."""

READABLE = (
    *EXTENSIONS,
    *(e + c for e in _READ_ONLY for c in ("", *_COMPRESSIONS)),
)
"""Of files that can be read."""


def format_of(path: str | os.PathLike[str], *, read: bool = False) -> Format:
    """The format that a file name stands for; case does not matter.

    Parameters
    ----------
    path : path-like
    read : bool
        Take the formats that can only be read, too.

    Raises
    ------
    FileInputError
        For any other name.

    Examples
    --------
    >>> format_of("rows.CSV.gz")
    Format(layout='csv', delimiter=',', compression='gzip')
    """
    layouts = _LAYOUTS | _READ_ONLY if read else _LAYOUTS
    suffixes = [s.lower() for s in Path(path).suffixes]
    last = suffixes[-1] if suffixes else ""
    if last in layouts:
        return layouts[last]
    inner = layouts.get(suffixes[-2]) if len(suffixes) > 1 else None
    if last in _COMPRESSIONS and inner is not None and inner.layout in ("csv", "json"):
        return Format(inner.layout, inner.delimiter, _COMPRESSIONS[last])
    raise FileInputError.unknown_format(path, READABLE if read else EXTENSIONS)
