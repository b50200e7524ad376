"""Scanned digits in, sorted letters out: a vectorised pipeline on real data, and faults that look like drift.

``pipeline`` is what a data scientist writes, ``features`` what is measured of an image. The rest is the world
around it: ``images`` (real handwriting), ``scanner`` (what comes in), ``model`` (what is trained and
deployed), ``faults`` (what goes wrong), ``world`` and ``runner`` (all of it, and time).
"""
