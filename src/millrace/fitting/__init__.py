"""Fitting from data of any size: the sweep, the plan, the checkpoint.

Enters: an unfitted estimator and a table. Leaves: the same estimator, fitted, and a `FitReport`. Never:
holds a formula of an estimator (that is a solver) or of a summary (that is a statistic).

`tasks` runs solvers until all of them wait; `sweep` reads the data once and answers all of them.
"""

from millrace.fitting.fit import fit, plan
from millrace.fitting.report import FitReport, fit_report
from millrace.fitting.search import search
from millrace.fitting.validate import cross_validate

__all__ = ["FitReport", "cross_validate", "fit", "fit_report", "plan", "search"]
