"""Drills: faults that befall a pipeline in virtual time, to see what would be told.

A :class:`Fault` is a value that knows its truth. :class:`Drill` lets every fault that a user's own pipeline
can have befall it, one after the other, each after the same quiet past: ``swirl drill`` on the command line.
:class:`Fleet` is the harness for pipelines of several processes.
"""

from swirl.testing.drill.faults import KINDS, Fault, Kind, level, traffic
from swirl.testing.drill.fleet import Fleet
from swirl.testing.drill.run import Drill, Finding, Report

__all__ = ["KINDS", "Drill", "Fault", "Finding", "Fleet", "Kind", "Report", "level", "traffic"]
