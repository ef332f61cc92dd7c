"""What a CSV file does not say about itself."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""Cells of a CSV file that are null: empty ones, and what `pandas.read_csv` takes as missing."""


@dataclass(frozen=True)
class CsvOptions:
    """What a CSV file does not say about itself.

    Attributes
    ----------
    delimiter : str, optional
        Between cells; by default what the file's name says (comma, or tab for ``.tsv``).
    header : bool
        Whether the first line holds the names; else they are x0, x1 ...
    missing : tuple of str
        Cells that are null, quoted or not.
    types : mapping of str to pyarrow.DataType
        Types of some columns. Those of the others follow from the cells; see `CsvReader`.
    """

    delimiter: str | None = None
    header: bool = True
    missing: tuple[str, ...] = MISSING
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
