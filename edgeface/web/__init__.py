"""A live view in a browser, for boards without a screen."""

from edgeface.web.view import LiveView

__all__ = ["LiveView"]
