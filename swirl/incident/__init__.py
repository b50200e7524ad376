"""Anomalies joined into one incident, diagnosed, followed to its end."""
