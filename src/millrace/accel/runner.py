"""``python -m millrace script.py``: the script as it is, accelerated."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from millrace.accel.session import accelerate
from millrace.accel.show import report

_WHAT = "Run a Python script with scikit-learn's methods answered by Millrace where that is faster."
_MORE = "Words after the script are the script's. `python -m millrace COMMAND` is the command line."
_OPTIONS = ("--exact", "--report", "--compare", "--strict")


def names_script(words: Sequence[str]) -> bool:
    """Whether the words after ``python -m millrace`` are for `run` and not a command of the program."""
    options, rest = _split(words)
    if any(o.startswith(_OPTIONS) for o in options):
        return True
    return bool(rest) and (rest[0] == "-m" or rest[0].endswith((".py", ".pyw")))


def run(words: Sequence[str]) -> None:
    """Run a script or a module as ``__main__``, accelerated, and report at its end.

    Raises
    ------
    SystemExit
        For words that make no sense; and what the script itself raises.
    """
    options, rest = _split(words)
    given = _parser().parse_args(options)
    main = _module(rest) if rest[:1] == ["-m"] else _script(rest)
    accelerate("exact" if given.exact else "equivalent", strict=given.strict, compare=given.compare)
    try:
        main()
    finally:
        if given.report is not None or given.compare:
            _tell(given.report or "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m millrace", "python -m millrace [options] SCRIPT [words]", _WHAT, _MORE
    )
    parser.add_argument(
        "--exact", action="store_true", help="only what gives scikit-learn's own answer"
    )
    parser.add_argument(
        "--report", metavar="PAGE.html", nargs="?", const="",
        help="say at the end what ran where; with a name, as a page",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="store_true", help="run scikit-learn's code as well, and show its time"
    )
    parser.add_argument("--strict", action="store_true", help="stop at an error inside Millrace")
    return parser


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options, and the script with its own words.

    ``--report`` takes the next word only if that is an HTML file: otherwise it is the script.
    """
    options, rest = [], list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        options.append(rest.pop(0))
        if options[-1] == "--report" and rest and rest[0].endswith((".html", ".htm")):
            options[-1] = f"--report={rest.pop(0)}"
    return options, rest


def _module(words: list[str]) -> Callable[[], object]:
    """What runs the module named after ``-m``."""
    if len(words) < 2:
        _parser().error("expected a module after -m")
    sys.argv = words[1:]
    sys.path.insert(0, "")
    return partial(runpy.run_module, words[1], run_name="__main__", alter_sys=True)


def _script(words: list[str]) -> Callable[[], object]:
    """What runs a script."""
    if not words:
        _parser().error("expected a script, or -m and a module")
    script = words[0]
    try:
        code = compile(Path(script).read_bytes(), script, "exec")
    except OSError as error:
        _parser().error(f"cannot open {script!r}: {error.strerror}")
    sys.argv = words
    sys.path.insert(0, str(Path(script).resolve().parent))
    # The namespace stays alive: what a script registers for the end of the process still needs it.
    main = ModuleType("__main__")
    main.__dict__.update(__file__=script, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    return partial(exec, code, main.__dict__)


def _tell(page: str) -> None:
    found = report()
    if page:
        found.save(page)
        sys.stderr.write(f"millrace: {found.summary()}; see {page}\n")
    else:
        sys.stderr.write(f"{found}\n")
