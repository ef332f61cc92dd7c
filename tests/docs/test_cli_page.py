"""The page about the command line has every command and every option, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from millrace.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*(?![\w.])")


def section(name: str) -> str:
    """The text below a heading, up to the next one."""
    match = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return match[1] if match else ""


def shown_options(name: str) -> set[str]:
    """Options that the command's section names in code: of Millrace, not of other programs."""
    code = re.findall(r"`(-[^`]+)`", re.sub(r"```.*?```", "", section(name), flags=re.DOTALL))
    return {option for part in code for option in OPTION.findall(part)}


def real_options(name: str) -> set[str]:
    spellings = {
        spelling.strip()
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option"
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }
    return {s for s in spellings if s.startswith("-")} - {"--help", "-h"}


def test_every_command_has_a_section() -> None:
    assert set(re.findall(r"^\| \[`(\w+)`\]\(#\1\)", PAGE, re.MULTILINE)) == set(COMMANDS)
    assert all(section(name) for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_on_the_page(name: str) -> None:
    assert shown_options(name) == real_options(name)
