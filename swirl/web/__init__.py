"""One small ASGI app for both engines."""

from swirl.web.app import Check, application, known_hosts
from swirl.web.server import Server, serve

__all__ = ["Check", "Server", "application", "known_hosts", "serve"]
