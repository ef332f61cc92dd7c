"""Program -> program, one file each; the order stands in `pipeline.REWRITES`.

Enters and leaves: a bound program. Never: knows which backend will run it.
"""

from millrace.rewrites.pipeline import REWRITES, SIMPLIFY, rewrite, simplify

__all__ = ["REWRITES", "SIMPLIFY", "rewrite", "simplify"]
