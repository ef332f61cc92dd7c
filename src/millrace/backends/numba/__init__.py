"""The CPU backend: blocks of rows through NumPy's own functions and a few Numba kernels.

Enters: a program and the dtypes of its columns. Leaves: an executable.
Never: answers other bits than the reference backend, beyond what a converter's docstring states.
"""

from millrace.backends.numba.execute import Executable

__all__ = ["Executable"]
