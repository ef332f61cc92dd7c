"""What can be known of rows without keeping them.

Enters: one `Batch` of rows after another. Leaves: the answer to one question about all of them:
moments, a Gram matrix, counts, a gradient. Never: reads a file, knows an estimator, or keeps rows
(but for the few that were asked for).

A statistic summarises one batch (`of`), joins two summaries (`merge`) and turns the last one into an
answer (`finish`). Summaries are joined in a fixed tree over the row numbers, so the answer has the same
bits whatever the number of threads. One file a statistic.
"""

from millrace.statistics.base import (
    Batch,
    Columns,
    OrderedStatistic,
    Statistic,
    check_finite,
    digest,
)

__all__ = ["Batch", "Columns", "OrderedStatistic", "Statistic", "check_finite", "digest"]
