"""How effects leave: one dependency, one file."""

from swirl.sinks.base import Sink
from swirl.sinks.outlet import Counts, Outlet

__all__ = ["Counts", "Outlet", "Sink"]
