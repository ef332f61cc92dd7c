"""From a table to a model, without a line of code: the main job.

Enters: a table and the name of its target. Leaves: a `TrainResult`: a linear model and a boosted forest
fitted out of core and compared on held-out rows, the better one compiled and verified, and all that a
report shows. Never: fits or compiles anything itself; `fitting` and `compiler` do.
"""

from millrace.training.result import TrainResult
from millrace.training.train import train

__all__ = ["TrainResult", "train"]
