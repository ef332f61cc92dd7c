"""The examples of the README and of every documentation page run; links and commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!https?://|#)([^)#\s]+)")


RUNNER = Path(__file__).with_name("run_page.py")


def run_page(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page in an interpreter and a folder of its own, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(RUNNER), str(page)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    done = run_page(page, tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "block",
    [
        "```python\n1 / 0\n```\n",
        "```pycon\n>>> 1 + 1\n3\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ echo one\ntwo\n$ echo three\n```\n",
        "- in a list\n\n  ```python\n  1 / 0\n  ```\n",
        "```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```\n",
    ],
)
def test_a_wrong_example_is_noticed(block: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{block}")
    assert run_page(page, tmp_path).returncode != 0


def test_an_example_can_be_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: it takes hours -->\n```python\n1 / 0\n```\n")
    assert run_page(page, tmp_path).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_readme_begins_with_two_commands_of_the_makefile() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.findall(r"^(make \w+)", readme, re.MULTILINE)[:2]
    assert first == ["make demo", "make test"]


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "docs", "clean"])
def test_makefile_knows(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_changelog_names_the_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()
