"""How far two summaries lie apart, and how far chance alone would take them.

A habit such as "PSI above 0.1" calls a third of all windows of 100 values drift where there is none. So each
statistic here comes with its null law (:mod:`swirl.null_law`): what it does by chance when both summaries are
of the same distribution, given how many values they hold. The laws are for independent values; where values
come in clusters, say how large they are (``cluster=``), or learn it, as the drift detector does.

Conventions: natural logarithms everywhere; the population stability index, Jensen-Shannon and chi-square of
numbers are taken over at most ten cells that hold about a tenth of the baseline each; labels are in one cell
each, those that are too rare for a chi-square law together.
"""

from swirl.drift.cells import (
    CELL_STATISTICS,
    cell_counts,
    cell_distance,
    cell_edges,
    cells_of,
    chi_square,
    jensen_shannon,
    label_cells,
    psi,
    psi_of_cells,
)
from swirl.drift.curves import (
    area_law,
    kolmogorov_distance,
    kolmogorov_smirnov,
    wasserstein,
    wasserstein_distance,
)
from swirl.drift.distance import GRID, Comparison, Distance

__all__ = [
    "CELL_STATISTICS",
    "GRID",
    "Comparison",
    "Distance",
    "area_law",
    "cell_counts",
    "cell_distance",
    "cell_edges",
    "cells_of",
    "chi_square",
    "jensen_shannon",
    "kolmogorov_distance",
    "kolmogorov_smirnov",
    "label_cells",
    "psi",
    "psi_of_cells",
    "wasserstein",
    "wasserstein_distance",
]
