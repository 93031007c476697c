"""The routes of the server, and what they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .computing import Computing
from .config import ServeConfig
from .event_stream import Streams
from .models import SavedRun, Source, load_runs
from .openapi import describe_api
from .page_files import INDEX, PageFile, read_page
from .race_api import race_routes
from .reading_api import reading_routes
from .requests import Json, Threads, no_error_page, server_error
from .training_api import training_routes

OURS = ("auto", "mnist", "synthetic")  # data that is loaded when the page first wants it


@dataclass(eq=False)
class Site:
    """What the server serves."""

    config: ServeConfig
    runs: Mapping[str, SavedRun]
    page: Mapping[str, PageFile]
    computing: Computing
    threads: Threads = field(default_factory=Threads)
    streams: Streams = field(default_factory=Streams)

    def sources(self) -> dict[str, Source]:
        """Return the networks that there are now, by the names that requests use."""
        return {**self.runs, **self.computing.jobs}

    def close(self) -> None:
        """End what goes on."""
        self.computing.close()


def make_site(paths: Sequence[str | Path], config: ServeConfig) -> Site:
    """Load the runs, the page, and data that the user brings.

    Raises as :func:`.models.load_runs` and :meth:`.DataOptions.load`.
    """
    computing = Computing(config)
    if config.data not in OURS or config.data_dir is not None:
        computing.data.load()
    return Site(config, load_runs(paths), read_page(), computing)


def make_application(site: Site) -> Starlette:
    """Return the application, without the guards that :mod:`.guard` puts before it."""
    routes = [
        *page_routes(site.page),
        *reading_routes(site.sources, site.threads),
        *training_routes(site.config, site.computing, site.streams),
        *race_routes(site.computing, site.streams),
    ]
    handlers = {HTTPException: no_error_page, Exception: server_error}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


def page_routes(page: Mapping[str, PageFile]) -> list[Route]:
    """Return the routes of the page and its files, the sign of life and the description."""

    async def index(request: Request) -> Response:
        return answer(request, page[INDEX])

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in page:
            raise HTTPException(404, "the page has no file of this name")
        return answer(request, page[name])

    async def health(request: Request) -> Response:
        return Json({"status": "ok"})

    description = describe_api()

    async def openapi(request: Request) -> Response:
        return Json(description)

    def answer(request: Request, file: PageFile) -> Response:
        headers = {"etag": file.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.kind, headers=headers)

    return [
        Route("/", index),
        Route("/page/{name}", file),
        Route("/healthz", health),
        Route("/openapi.json", openapi),
    ]
