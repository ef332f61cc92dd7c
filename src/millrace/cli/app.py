"""The ``millrace`` program: its commands, found by name, and what becomes of errors."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from millrace.cli import commands
from millrace.errors import MillraceError, VerificationError


class Commands(TyperGroup):
    """Tells the errors that Millrace raises on purpose in a line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except MillraceError as error:
            typer.echo(f"millrace: {error}", err=True)
            raise typer.Exit(1 if isinstance(error, VerificationError) else 2) from error
        except KeyboardInterrupt as error:
            typer.echo("millrace: interrupted; no file was left half-written", err=True)
            raise typer.Exit(130) from error


def _version(asked: bool) -> None:
    if asked:
        from millrace import __version__

        typer.echo(f"millrace {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="millrace",
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Fitted scikit-learn pipelines and boosted trees as small exact programs."""


for _module in iter_modules(commands.__path__):
    app.command(_module.name)(import_module(f"{commands.__name__}.{_module.name}").command)
