"""What a stage should have received and how long it should have taken, given what the stages around it did.

Both models are fitted to the windows of a history that lie in no incident, and judge one window at a time.
Detection and diagnosis use the same ones, so that they look at the same numbers.
"""

from swirl.residual.counts import LEAST_WINDOWS, MOST, bounded, is_timed, outputs, total
from swirl.residual.input import InputModel, between
from swirl.residual.load import LoadModel, fit_load, fit_load_to
from swirl.residual.shares import fit_input, fit_shares, later

__all__ = [
    "LEAST_WINDOWS",
    "MOST",
    "InputModel",
    "LoadModel",
    "between",
    "bounded",
    "fit_input",
    "fit_load",
    "fit_load_to",
    "fit_shares",
    "is_timed",
    "later",
    "outputs",
    "total",
]
