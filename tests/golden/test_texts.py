"""The text of small programs, as committed beside this file.

What a converter writes and a rewrite leaves is read here by people: a change in a text is looked at
before it is committed. ``MILLRACE_WRITE_GOLDEN=1`` writes the files anew.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from millrace.ir import Program, parse, unparse
from tests.golden.programs import GOLDEN

HERE = Path(__file__).parent
AGAIN = "MILLRACE_WRITE_GOLDEN"


def full_text(program: Program) -> str:
    """The text, and below it the arrays that it names by digest."""
    text, constants = unparse(program)
    named = [
        f"array {digest} = {a.dtype.name}{list(a.shape)} {a.values.ravel().tolist()}"
        for digest, a in sorted(constants.items())
    ]
    return "\n".join([text.rstrip("\n"), *named, ""])


@pytest.mark.parametrize("name", GOLDEN)
def test_text(name: str) -> None:
    program = GOLDEN[name]()
    assert parse(*unparse(program)).steps == program.steps
    text, path = full_text(program), HERE / f"{name}.txt"
    if os.environ.get(AGAIN):
        path.write_text(text, encoding="utf-8")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    changes = difflib.unified_diff(
        before.splitlines(), text.splitlines(), "committed", "now", lineterm="", n=1
    )
    assert text == before, (
        "\n".join(changes)
        + f"\nIf this is what the program should be, run the test with {AGAIN}=1 "
        f"and commit tests/golden/{path.name}."
    )


def test_every_file_has_its_program() -> None:
    assert {p.stem for p in HERE.glob("*.txt")} == set(GOLDEN)
