"""The judge of all other backends: plain NumPy, one obvious transcription per primitive.

Enters: a program and columns. Leaves: its outputs. Never: fast, clever or threaded.
"""

from millrace.backends.reference.run import run
from millrace.backends.reference.trees import leaf_rows, tree_sums

__all__ = ["leaf_rows", "run", "tree_sums"]
