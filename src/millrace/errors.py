"""Every error that Millrace raises on purpose: what was seen, what was expected, what to do.

Each class is built by its constructors, so that a message is written in one place. All of them
are `MillraceError`; each is also the built-in class that a caller would expect (`ValueError`,
`TypeError`, ...), so code written for scikit-learn keeps catching them.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence


class MillraceError(Exception):
    """Base class of everything that Millrace raises on purpose."""


def _nearest(name: str, candidates: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), [str(c) for c in candidates], n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listing(names: Sequence[object], most: int = 8, hints: Sequence[str] = ()) -> str:
    """The first names, each with the one among `hints` that it may be mistaken for."""
    shown = ", ".join(f"{n!r}{_nearest(str(n), hints)}" for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


class ProgramError(MillraceError):
    """A program breaks the grammar of the IR: always a bug in a converter, rewrite or file."""


class DenseStepError(ProgramError):
    """A primitive would turn a sparse block into a dense one; the step that needs it falls back."""

    @classmethod
    def of(cls, primitive: str, width: int) -> DenseStepError:
        return cls(f"{primitive} does not keep a sparse block of {width:,} columns sparse")


class UnfittedModelError(MillraceError, ValueError):
    """The object to compile has not been fitted."""

    @classmethod
    def at(cls, path: str, class_name: str) -> UnfittedModelError:
        where = f" at {path}" if path else ""
        return cls(
            f"{class_name}{where} is not fitted. Expected a fitted object: "
            f"call its fit(X, y) first, then compile it."
        )


class UnsupportedModelError(MillraceError, TypeError):
    """The object, or a step inside it, can neither be converted nor called as it is.

    Attributes
    ----------
    step, reason : str
        The step as a message names it, and why; empty where the message says it all.
    """

    step: str = ""
    reason: str = ""

    @classmethod
    def unknown_class(cls, path: str, class_name: str) -> UnsupportedModelError:
        where = f" at step {path!r}" if path else ""
        return cls(
            f"Cannot compile {class_name}{where}: Millrace has no converter for it and it has "
            f"neither a predict nor a transform method that could be called instead. "
            f"Pass a fitted estimator, or wrap the code in a FunctionTransformer."
        )

    @classmethod
    def declined(
        cls, path: str, class_name: str, reason: str, remedy: str
    ) -> UnsupportedModelError:
        where = f" at step {path!r}" if path else ""
        error = cls(f"Cannot compile {class_name}{where}: {reason}. {remedy}")
        error.step, error.reason = f"step {path!r} ({class_name})" if path else class_name, reason
        return error


class InputError(MillraceError, ValueError):
    """Rows that a compiled model cannot take."""


class MissingColumnsError(InputError, KeyError):
    """Columns that the model reads are not in the input."""

    @classmethod
    def of(cls, missing: Sequence[str], present: Sequence[str]) -> MissingColumnsError:
        return cls(
            f"The input lacks {len(missing)} column(s) that the model reads: "
            f"{_listing(missing, hints=present)}. The input has {_listing(present)}. "
            f"Add or rename the columns; their order does not matter."
        )

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0])


class ExtraColumnsError(InputError):
    """The input has columns that the model was not fitted on."""

    @classmethod
    def of(cls, extra: Sequence[str], expected: Sequence[str]) -> ExtraColumnsError:
        return cls(
            f"The input has {len(extra)} column(s) that the model was not fitted on: "
            f"{_listing(extra, hints=expected)}. Drop them, for example X[model.feature_names_in_]."
        )


class ShapeError(InputError):
    """The input has the wrong number of columns or dimensions."""

    @classmethod
    def wrong_width(cls, seen: int, expected: int) -> ShapeError:
        return cls(
            f"The input has {seen} column(s), the model was fitted on {expected}. "
            f"Pass rows with exactly {expected} columns in the order used for fitting."
        )

    @classmethod
    def unequal_columns(cls, lengths: dict[str, int]) -> ShapeError:
        shown = ", ".join(f"{n!r}: {k}" for n, k in list(lengths.items())[:8])
        return cls(
            f"The columns have different lengths ({shown}). Pass as many cells for each column."
        )

    @classmethod
    def repeated_names(cls, names: Sequence[str]) -> ShapeError:
        return cls(
            f"The input has several columns of one name ({_listing(names)}), the model was fitted "
            f"on columns with names of their own. Drop or rename the others."
        )

    @classmethod
    def wrong_dimensions(cls, seen: int) -> ShapeError:
        return cls(
            f"The input has {seen} dimension(s), expected 2 (rows x columns). "
            f"For one row use X.reshape(1, -1) or model.predict_one(row)."
        )

    @classmethod
    def not_a_series(cls, shape: tuple[int, ...]) -> ShapeError:
        return cls(
            f"Expected a series, one cell a row, as the source object takes it; got an input of shape "
            f"{shape}. Pass one column of it: frame['text'], or array[:, 0]."
        )


class ColumnTypeError(InputError, TypeError):
    """A column holds values of a kind that the model cannot read there."""

    @classmethod
    def not_a_number(cls, column: str, value: object, row: int) -> ColumnTypeError:
        return cls(
            f"Column {column!r} must be numeric, but row {row} holds {value!r} "
            f"({type(value).__name__}). Convert the column to numbers, or mark missing "
            f"cells as NaN or null."
        )

    @classmethod
    def unsupported(cls, what: str, expected: str) -> ColumnTypeError:
        return cls(f"Cannot read {what}. Expected {expected}.")


class NonFiniteError(InputError):
    """NaN or infinity where the source estimator refuses them."""

    @classmethod
    def at(cls, column: str, value: object, row: int, owner: str) -> NonFiniteError:
        return cls(
            f"Column {column!r} holds {value!r} in row {row}, but {owner} accepts only finite "
            f"values there, as in the library that it was fitted with. "
            f"Impute or drop such rows first."
        )


class UnknownCategoryError(InputError):
    """A category that was not seen while fitting, where the source raises on them."""

    @classmethod
    def at(cls, column: str, value: object, row: int) -> UnknownCategoryError:
        return cls(
            f"Column {column!r} holds the unknown category {value!r} in row {row}; the encoder was "
            f"fitted with handle_unknown='error'. Map the value to a known category, or fit the "
            f"encoder with another handle_unknown."
        )

    @classmethod
    def without_number(cls, column: str, value: object, row: int) -> UnknownCategoryError:
        return cls(
            f"Column {column!r} holds the category {value!r} in row {row}, which the model was not "
            f"fitted on: it has no number for it, and the source library refuses it too. Map the "
            f"value to a known category, or mark the cell as missing."
        )


class RefusedRowError(InputError):
    """A row that the source object itself refuses, for what it holds."""

    @classmethod
    def at(cls, row: int, owner: str, problem: str) -> RefusedRowError:
        return cls(
            f"Row {row} is refused by {owner}: {problem}. Expected rows that {owner}'s own methods "
            f"take; leave such rows out, or fit {owner} with other parameters."
        )


class SparseInputError(InputError, TypeError):
    """A sparse matrix for a model with a step that needs every cell."""

    def for_rows(self, shape: tuple[int, ...]) -> SparseInputError:
        """The same, with the size that these rows would take."""
        size, unit = math.prod(shape) * 8.0, "bytes"
        for larger in ("KiB", "MiB", "GiB", "TiB"):
            if size >= 1024:
                size, unit = size / 1024, larger
        cells = " x ".join(f"{n:,}" for n in shape)
        return SparseInputError(
            f"{self} These {cells} cells would take {size:,.4g} {unit} as float64."
        )

    @classmethod
    def needs_dense(cls, step: str, source: str, why: str) -> SparseInputError:
        whose = step if step == source else f"{step} of this {source}"
        return cls(
            f"A sparse matrix was given, but {whose} needs dense rows: {why}. Pass X.toarray() if "
            f"that fits into memory, or X[first:last].toarray() for some rows at a time."
        )

    @classmethod
    def not_kept(cls, source: str) -> SparseInputError:
        return cls(
            f"A sparse matrix was given, but the file of this {source} holds no program for sparse "
            f"rows: the source refuses them, or answers them by Python code that a file cannot hold. "
            f"Pass X.toarray(), or compile the fitted object again and use it without a file."
        )

    @classmethod
    def no_method(cls, method: str, source: str) -> SparseInputError:
        return cls(
            f"A sparse matrix was given, but {method} of {source} takes dense rows only. Pass "
            f"X.toarray(), or X[first:last].toarray() for some rows at a time."
        )


class MethodMissingError(MillraceError, AttributeError):
    """The source object has no such method."""

    @classmethod
    def of(cls, method: str, source: str, available: Sequence[str]) -> MethodMissingError:
        return cls(
            f"This compiled {source} has no {method}; the source object offers "
            f"{_listing(sorted(available))}."
        )


class VerificationError(MillraceError, AssertionError):
    """The compiled model and its source disagree."""

    @classmethod
    def of(cls, report: object) -> VerificationError:
        error = cls(
            f"The compiled model does not answer as its source does.\n{report}\n"
            f"Do not use it; please report the model's class, parameters and library version. "
            f"Pass raise_on_difference=False to get the report instead of this error."
        )
        error.report = report
        return error

    report: object


class ModelFileError(MillraceError, ValueError):
    """A model file that cannot be read or written."""

    @classmethod
    def not_a_model(cls, path: object, why: str) -> ModelFileError:
        return cls(
            f"{path} is not a Millrace model file: {why}. Expected a .mill file "
            f"written by model.save() or `millrace compile`."
        )

    @classmethod
    def damaged(cls, path: object, seen: str, expected: str) -> ModelFileError:
        return cls(
            f"{path} is damaged: {seen}, expected {expected}. The file was truncated or altered "
            f"after it was written; restore it or compile the model again."
        )

    @classmethod
    def newer_format(cls, path: object, seen: int, known: int) -> ModelFileError:
        return cls(
            f"{path} has format version {seen}; this Millrace reads versions up to {known}. "
            f"Upgrade Millrace (pip install --upgrade millrace) or compile the model again."
        )

    @classmethod
    def cannot_write(cls, path: object, why: str) -> ModelFileError:
        return cls(
            f"Could not write {path}: {why}. What was there before is untouched; free some space "
            f"or choose another place, then save again."
        )

    @classmethod
    def holds_foreign_steps(cls, steps: Sequence[str]) -> ModelFileError:
        return cls(
            f"The model calls {len(steps)} step(s) of foreign Python code ({_listing(steps)}), "
            f"which a .mill file cannot hold because it never contains code. Replace those steps "
            f"by ones that describe() shows as native, or keep the compiled model in memory."
        )


class UntrustedPickleError(MillraceError, ValueError):
    """A pickle or joblib file was given without saying that it is trusted."""

    @classmethod
    def of(cls, path: object) -> UntrustedPickleError:
        return cls(
            f"{path} is a pickle: loading it can run any code that its author put there. "
            f"If you trust where it comes from, repeat the command with --trust-pickle."
        )


class FileInputError(MillraceError, ValueError):
    """A table file that cannot be read."""

    @classmethod
    def unreadable(cls, path: object, why: str) -> FileInputError:
        return cls(f"Cannot read {path}: {why}.")

    @classmethod
    def unknown_format(cls, path: object, known: Sequence[str]) -> FileInputError:
        return cls(
            f"Cannot tell the format of {path} from its name. Expected one of {_listing(known)}."
        )

    @classmethod
    def spool(cls, folder: object, why: object) -> FileInputError:
        return cls(
            f"Cannot put rows aside in {folder}: {why}. Free some space there, or name another "
            f"folder in the variable TMPDIR."
        )

    @classmethod
    def no_files(cls, where: object, why: str, known: Sequence[str]) -> FileInputError:
        return cls(f"{where}: {why}. Table files end with one of {_listing(known, 20)}.")

    @classmethod
    def other_columns(
        cls, path: object, missing: Sequence[str], extra: Sequence[str], first: object
    ) -> FileInputError:
        lacks = ", ".join(f"{m!r}{_nearest(m, extra)}" for m in missing[:8])
        parts = [f"lacks {lacks}"] if missing else []
        parts += [f"has also {_listing(extra)}"] if extra else []
        return cls(
            f"{path} has other columns than {first}: it {' and '.join(parts)}. Rename or drop "
            f"columns so that all files have the same, or scan them apart."
        )

    @classmethod
    def other_type(
        cls, path: object, column: str, seen: object, expected: object, first: object
    ) -> FileInputError:
        return cls(
            f"Column {column!r} is {seen} in {path}, but {expected} in {first}. Write the column "
            f"with one type in all files."
        )

    @classmethod
    def bad_cell(
        cls, path: object, column: str, expected: object, row: int | None, found: str
    ) -> FileInputError:
        where = "later" if row is None else f"in row {row}"
        return cls(
            f"Cannot read {path}: column {column!r} is {expected} by the first rows, but {where} "
            f"it holds {found}. Clean the cell, or give the column another type "
            f"(CsvOptions(types=...))."
        )

    @classmethod
    def one_pass(cls, source: object) -> FileInputError:
        return cls(
            f"{source} can be read only once, and was read before. Pass something that can be read "
            f"again: a file, a table in memory, or a pyarrow dataset."
        )

    @classmethod
    def mixed_column(
        cls, source: object, column: str, row: int, seen: object, expected: str
    ) -> FileInputError:
        return cls(
            f"Column {column!r} of {source} mixes types: row {row} holds {seen!r} "
            f"({type(seen).__name__}) among values that are {expected}. Convert the column to one "
            f"type, for example with astype(str)."
        )

    @classmethod
    def not_a_table(cls, seen: str, why: str) -> FileInputError:
        return cls(
            f"Cannot scan {seen}: {why}. Expected a file, a list or pattern of files, a folder, a "
            f"data frame, an Arrow table or stream, a DuckDB relation, or a two-dimensional array."
        )


class SplitError(MillraceError, ValueError):
    """A split of the rows that cannot be made."""

    @classmethod
    def not_a_partition(cls, splitter: object, why: str) -> SplitError:
        return cls(
            f"{splitter} does not deal every row to exactly one test fold: {why}. Expected a "
            f"splitter such as KFold, StratifiedKFold, GroupKFold or PredefinedSplit."
        )

    @classmethod
    def out_of_order(cls, first: int, known: int) -> SplitError:
        return cls(
            f"Stratified rows are dealt in order: row {first} came before row {known}. Give the "
            f"batches one after the other, from row 0 on."
        )

    @classmethod
    def no_classes(cls, most: int) -> SplitError:
        return cls(
            f"stratify=True expects a target of classes; this one has more than {most:,} different "
            f"values. Leave stratify out for a target of numbers."
        )

    @classmethod
    def needs(cls, what: str) -> SplitError:
        return cls(f"This split needs {what} with every batch.")

    @classmethod
    def bad_key(cls, column: str, kind: object) -> SplitError:
        return cls(
            f"Column {column!r} holds {kind}, whose values cannot be told apart by a hash. Name a "
            f"column of texts, numbers or dates."
        )


class MissingDependencyError(MillraceError, ImportError):
    """An optional library is needed and not installed."""

    @classmethod
    def of(cls, library: str, purpose: str, extra: str) -> MissingDependencyError:
        return cls(
            f"{purpose} needs {library}, which is not installed. "
            f"Install it with: pip install 'millrace[{extra}]'"
        )


class ExportError(MillraceError, NotImplementedError):
    """A model that the wanted format cannot express with the same answers."""

    @classmethod
    def refused(cls, primitive: str, step: int, reason: str, remedy: str) -> ExportError:
        return cls(f"Cannot export {primitive} (step {step} of the program): {reason}. {remedy}.")

    @classmethod
    def no_method(cls, method: str, available: Sequence[str]) -> ExportError:
        return cls(
            f"Cannot export {method!r}: the model has no such method. "
            f"Choose from {_listing(sorted(available))}."
        )

    @classmethod
    def bad_option(cls, option: str, seen: object, expected: str) -> ExportError:
        return cls(f"Cannot export with {option}={seen!r}. Expected {expected}.")


class CompilerError(MillraceError, RuntimeError):
    """The C compiler of this machine is missing, or fails on the generated source."""

    @classmethod
    def none_found(cls, tried: Sequence[str]) -> CompilerError:
        return cls(
            f"No C compiler was found: looked for {_listing(tried)}. Install one (for example "
            f"`apt-get install gcc`), name it with compiler=... or the variable CC, or write the "
            f"source with to_c(...).write(folder) and compile it elsewhere."
        )

    @classmethod
    def failed(cls, command: Sequence[str], output: str) -> CompilerError:
        return cls(
            f"The C compiler failed:\n{' '.join(command)}\n{output.strip()[:4000]}\n"
            f"Try another compiler with compiler=...; if this one takes C99, please report the model."
        )


class FitError(MillraceError, ValueError):
    """The data cannot be fitted: an empty table, a target with holes or a single class ..."""

    @classmethod
    def no_target(cls, name: str, present: Sequence[str]) -> FitError:
        return cls(
            f"The table has no column {name!r}{_nearest(name, present)} to use as target. "
            f"It has {_listing(present)}."
        )

    @classmethod
    def target_needed(cls, class_name: str) -> FitError:
        return cls(f"{class_name} needs a target: name its column with target=...")

    @classmethod
    def not_pickled(cls, value: object) -> FitError:
        return cls(
            f"A parameter is or holds a {type(value).__name__} that cannot be pickled, so estimators "
            f"with it cannot be compared. Define its class at the top level of a module."
        )

    @classmethod
    def of_matrix(cls, what: str, columns: Sequence[int]) -> FitError:
        return cls(
            f"The columns of a matrix have no names: pass the {what} itself as an array (found "
            f"columns {list(columns)} by name)."
        )

    @classmethod
    def lengths(cls, what: str, found: int, rows: int) -> FitError:
        return cls(f"The {what} has {found:,} values, the table has {rows:,} rows.")

    @classmethod
    def changed(cls, what: str, said: int, found: int) -> FitError:
        return cls(
            f"{what} had {said:,} rows at first and {found:,} when it was read again: it changed "
            f"during the fit. Fit from a copy that stays as it is."
        )

    @classmethod
    def empty_table(cls, what: str) -> FitError:
        return cls(f"{what} has no rows; at least one is needed to fit.")

    @classmethod
    def missing_target(cls, row: int, count: int) -> FitError:
        return cls(
            f"The target is missing in row {row}{f' and {count - 1} more' if count > 1 else ''}. "
            f"Fill it or drop these rows first (scan(..., where=...))."
        )

    @classmethod
    def non_finite_target(cls, row: int) -> FitError:
        return cls(f"The target is infinite in row {row}; a finite number was expected.")

    @classmethod
    def one_class(cls, class_name: str, label: object) -> FitError:
        return cls(
            f"{class_name} needs rows of at least two classes; every row has the target {label!r}."
        )

    @classmethod
    def non_finite(cls, class_name: str, column: object, row: int, value: object) -> FitError:
        kind = "missing" if value != value else "infinite"
        remedy = "impute it first" if kind == "missing" else "clean or clip it first"
        return cls(
            f"{class_name} takes finite numbers only; column {column!r} is {kind} in row {row}: "
            f"{remedy}."
        )

    @classmethod
    def not_numeric(cls, class_name: str, why: str) -> FitError:
        return cls(
            f"{class_name} takes numbers: {why}. Encode the column first (OneHotEncoder, "
            f"OrdinalEncoder), or leave it out."
        )

    @classmethod
    def at(cls, path: str, class_name: str, message: object) -> FitError:
        where = f" at step {path!r}" if path else ""
        return cls(f"{class_name}{where} cannot be fitted: {message}")


class NotStreamableError(MillraceError, TypeError):
    """An estimator has no way to be fitted batch by batch."""

    @classmethod
    def of(cls, path: str, class_name: str, reason: str, needed: int | None) -> NotStreamableError:
        where = f" at step {path!r}" if path else ""
        size = "an unknown size" if needed is None else f"about {_bytes(needed)}"
        return cls(
            f"{class_name}{where} cannot be fitted batch by batch because {reason}. In memory its "
            f"data takes {size}; pass in_memory=True to load it, or choose another estimator."
        )


class MemoryBudgetError(MillraceError, MemoryError):
    """The memory budget is too small for the work."""

    @classmethod
    def of(cls, given: int, least: int, why: str) -> MemoryBudgetError:
        return cls(
            f"A memory budget of {_bytes(given)} is too small: {why} takes at least "
            f"{_bytes(least)}. Pass memory='{-(-least // (1 << 20))}MB' or more."
        )


class CheckpointError(MillraceError, ValueError):
    """A checkpoint folder that cannot be continued from."""

    @classmethod
    def differs(cls, folder: object, what: str, there: object, here: object) -> CheckpointError:
        return cls(
            f"The checkpoint in {str(folder)!r} is of another fit: {what} is {there} there and "
            f"{here} here. Use another folder, or delete this one to begin again."
        )

    @classmethod
    def unreadable(cls, folder: object, why: object) -> CheckpointError:
        return cls(
            f"The checkpoint in {str(folder)!r} cannot be read: {why}. Delete the folder to begin "
            f"again."
        )

    @classmethod
    def unwritable(cls, folder: object, why: object) -> CheckpointError:
        return cls(
            f"The checkpoint in {str(folder)!r} cannot be written: {why}. What was written before "
            f"is kept; free some space and run the same fit again to go on from there."
        )


def _bytes(n: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n} bytes"
