"""Faults."""

from swirl.testing.drill.faults import KINDS, Fault, Kind, level, traffic
from swirl.testing.drill.fleet import Fleet

__all__ = ["KINDS", "Fault", "Fleet", "Kind", "level", "traffic"]
