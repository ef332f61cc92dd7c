"""Arguments and options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Fitted = Annotated[
    Path,
    typer.Argument(
        metavar="FITTED",
        show_default=False,
        help="A pickle or joblib file of a fitted object, or a LightGBM (.txt), XGBoost (.json, "
        ".ubj) or CatBoost (.cbm) model.",
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        help="A compiled model (.mill), or a fitted object, which is compiled first.",
    ),
]
Sample = Annotated[
    Path | None,
    typer.Option(
        metavar="ROWS",
        help="Rows of the kind that it was fitted on: CSV, Parquet or Arrow. Columns that it was "
        "not fitted on are passed over.",
    ),
]
SampleRows = Annotated[
    int, typer.Option("--rows", metavar="N", min=1, help="Read at most so many rows of the sample.")
]
TrustPickle = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Load FITTED even if it is a pickle. Loading one can run any code: do it only if you "
        "trust where it comes from. The current folder is searched for the code that it names.",
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop",
        metavar="COLUMN",
        help="A column of ROWS that is no feature, for example the target. Only needed for "
        "a model that was fitted without column names. May be repeated.",
    ),
]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The first line of a CSV file is a row, not the names.")
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER", help="Between the cells of a CSV file.", show_default="by name"
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")]


@dataclass(frozen=True)
class RowOptions:
    """How a file of rows is read.

    Attributes
    ----------
    drop : tuple of str
        Columns that are no features.
    keep : tuple of str
        Columns that go to the output too; no features where there would be too many otherwise.
    header : bool
    delimiter : str, optional
    """

    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    header: bool = True
    delimiter: str | None = None
