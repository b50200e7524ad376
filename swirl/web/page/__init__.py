"""The live page: what a person sees of the pipelines, and what they may say of incidents."""

from swirl.web.page.routes import page_routes

__all__ = ["page_routes"]
