"""How effects leave: one dependency, one file."""

from swirl.sinks.backlog import Counts, Retries
from swirl.sinks.base import Doubting, Pacing, Sink, Troubled
from swirl.sinks.outlet import Outlet

__all__ = ["Counts", "Doubting", "Outlet", "Pacing", "Retries", "Sink", "Troubled"]
