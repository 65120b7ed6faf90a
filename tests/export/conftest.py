from tests.browsers import browser, page, screenshot

__all__ = ["browser", "page", "screenshot"]
