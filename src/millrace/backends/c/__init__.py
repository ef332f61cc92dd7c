"""The C way out: one C99 file and its header that answer a row at a time, with libc and libm alone.

Enters: a rewritten program bound to float64 or float32, and a name. Leaves: text. Never: allocates,
keeps state, calls a compiler, or writes a step whose answer it cannot keep (`ExportError` names it).
"""

from millrace.backends.c.generate import Generated, generate

__all__ = ["Generated", "generate"]
