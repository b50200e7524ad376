"""One small ASGI app for both engines."""
