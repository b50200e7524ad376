"""The browser, for the tests of the page."""

from tests.browser import chromium, open_tab

__all__ = ["chromium", "open_tab"]
