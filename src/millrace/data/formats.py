"""Which format a file has, by its name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from millrace.errors import FileInputError

Layout = Literal["csv", "parquet", "arrow"]
Compression = Literal["gzip", "zstd"]


@dataclass(frozen=True)
class Format:
    """How a table is written down.

    Attributes
    ----------
    layout : {"csv", "parquet", "arrow"}
    delimiter : str
        Between the cells of a CSV file.
    compression : {"gzip", "zstd"}, optional
        Around a CSV file; Parquet and Arrow compress inside.
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
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}

EXTENSIONS = (*_LAYOUTS, ".csv.gz", ".csv.zst", ".tsv.gz", ".tsv.zst")


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format that a file name stands for; case does not matter.

    Raises
    ------
    FileInputError
        For any other name.

    Examples
    --------
    >>> format_of("rows.CSV.gz")
    Format(layout='csv', delimiter=',', compression='gzip')
    """
    suffixes = [s.lower() for s in Path(path).suffixes]
    last = suffixes[-1] if suffixes else ""
    if last in _LAYOUTS:
        return _LAYOUTS[last]
    inner = _LAYOUTS.get(suffixes[-2]) if len(suffixes) > 1 else None
    if last in _COMPRESSIONS and inner is not None and inner.layout == "csv":
        return Format("csv", inner.delimiter, _COMPRESSIONS[last])
    raise FileInputError.unknown_format(path, EXTENSIONS)
