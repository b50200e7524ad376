"""How effects leave: one dependency, one file."""

from swirl.sinks.base import Doubting, Sink
from swirl.sinks.outlet import Counts, Outlet

__all__ = ["Counts", "Doubting", "Outlet", "Sink"]
