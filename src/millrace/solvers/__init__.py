"""How each estimator is fitted from statistics.

Enters: an unfitted estimator and symbolic `Rows`. Leaves: the fitted attributes. Never: sees a file, a
thread or a checkpoint, or keeps the data; a solver *asks* and the sweep answers.

A solver is a generator, found by standing in a file below this package::

    @solves("sklearn.linear_model.Ridge")
    def ridge(estimator, rows):
        gram = yield rows.ask(Gram())
        coef, intercept = solve_ridge(gram, estimator.alpha, estimator.fit_intercept)
        return {"coef_": coef, "intercept_": intercept}

It yields one request or a list of requests, which the same sweep answers: ``rows.ask(statistic)`` for
a statistic, ``rows.fit(step)`` for another estimator, fitted. It returns the attributes by name;
``n_features_in_`` and ``feature_names_in_`` are set for it.

An estimator that no statistic sums up (neighbours, kernels) has a *resident* solver in ``resident/``: a
plain function of the rows in memory.
"""

from millrace.solvers.registry import (
    Decline,
    Example,
    examples,
    lookup,
    registered,
    resident,
    solves,
)
from millrace.solvers.rows import Ask, Fit, Rows, Stage

__all__ = [
    "Ask",
    "Decline",
    "Example",
    "Fit",
    "Rows",
    "Stage",
    "examples",
    "lookup",
    "registered",
    "resident",
    "solves",
]
