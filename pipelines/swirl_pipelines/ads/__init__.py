"""Tweets in, ads out: a pipeline that runs for real, and the two faults that look alike from the outside.

``pipeline`` is what a data scientist writes. The rest is the world around it: ``tweets`` and ``feed`` (what
comes in), ``model`` (what is deployed), ``audience`` (who clicks), ``faults``
(what goes wrong) and ``runner`` (time).
"""
