"""The command line.

Enters: words from a shell. Leaves: files, tables and an exit code: 0 for done, 1 for answers that
differ, 2 for anything that the user can put right, 130 after Ctrl-C. Never: computes anything that
the Python face does not, or loads a library before a command needs it.

A command is a file in `commands/` with a function called ``command``; no list is kept.
"""

from millrace.cli.app import app

__all__ = ["app"]
