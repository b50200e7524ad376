"""The command ``swirl``."""
