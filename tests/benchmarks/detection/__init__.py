"""Benchmarks of detection: each module measures one promise and writes its part of ``docs/detection.md``."""
