"""Run the examples of one Markdown page, from top to bottom, as a reader would type them.

    python run_page.py PAGE.md

Every ``python`` block runs in one shared namespace. A ``pycon`` block runs as a doctest. In a
``console`` block the lines that begin with ``$ `` run in a shell, in the current folder, and what
stands below one is compared with what it prints. Blocks in any other language are left alone, and
so is one below the line ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
LANGUAGES = ("python", "pycon", "console")
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its language, its text, the line it starts on."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that are meant to be run."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if match["skip"] or match["language"] not in LANGUAGES:
            continue
        indent = len(match["indent"])
        body = "".join(line[indent:] or "\n" for line in match["body"].splitlines(keepends=True))
        yield Block(match["language"], body, text.count("\n", 0, match.start("body")) + 1)


def run_python(block: Block, page: Path, namespace: dict[str, object]) -> None:
    """Run a block so that a traceback names the line of the page."""
    exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)


def run_session(block: Block, page: Path, namespace: dict[str, object]) -> None:
    """Compare what an interactive session prints with what the page shows."""
    name = f"{page.name}, line {block.line}"
    test = doctest.DocTestParser().get_doctest(
        block.text, namespace, name, str(page), block.line - 1
    )
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    if runner.run(test, clear_globs=False).failed:
        raise SystemExit(f"{name}: the output shown is not what was printed")
    namespace |= test.globs


def run_commands(block: Block, page: Path) -> None:
    """Run the commands of a console block; a backslash at the end of a line joins the next one."""
    where = f"{page.name}, line {block.line}"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for match in COMMAND.finditer(block.text.replace("\\\n", " ")):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", match["command"]],
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{where}: `{match['command']}` ended with {done.returncode}")
        if match["output"] and not doctest.OutputChecker().check_output(
            match["output"], done.stdout, FLAGS
        ):
            raise SystemExit(f"{where}: `{match['command']}` printed\n{done.stdout}")


def run(page: Path) -> int:
    """Run the blocks of a page and return how many there were; the first failure raises."""
    main = ModuleType("__main__")  # so that a class of the page has a module that can be looked up
    sys.modules["__main__"] = main
    todo = list(blocks(page))
    for block in todo:
        match block.language:
            case "python":
                run_python(block, page, main.__dict__)
            case "pycon":
                run_session(block, page, main.__dict__)
            case _:
                run_commands(block, page)
    return len(todo)


if __name__ == "__main__":
    print(f"{run(Path(sys.argv[1]))} block(s) run")
