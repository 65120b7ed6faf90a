"""The tab `Latents`."""

from starlette.routing import Route

from ganvas.explore.live import Handler, Watcher

ROUTES: list[Route] = []
HANDLERS: dict[str, Handler] = {}
WATCHERS: list[Watcher] = []
