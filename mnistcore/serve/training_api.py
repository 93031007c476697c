"""``/api/options`` and ``/api/jobs``."""

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..kernels.threads import available_cores
from .computing import Computing
from .config import ServeConfig
from .event_stream import Streams
from .form import chosen, form
from .requests import Json, bad_request, json_of
from .training import Training


def training_routes(config: ServeConfig, computing: Computing, streams: Streams) -> list[Route]:
    """Return the routes."""
    fixed, jobs = form(), computing.jobs

    async def options(request: Request) -> Json:
        computing.peak.begin()
        computing.data.begin()
        measured = {
            "peak_gflops": computing.peak.of(available_cores()),
            "data": computing.data.describe(),
        }
        return Json(fixed | measured)

    async def jobs_there(request: Request) -> Json:
        answer = {"jobs": [job.describe() for job in jobs.values()]}
        return Json(answer)

    async def start(request: Request) -> Json:
        asked = await json_of(request)
        with bad_request():
            options = chosen(asked, config)
        return _state(computing.train(options), 201)

    def found(request: Request) -> Training:
        job = jobs.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, "there is no training of this name; /api/jobs lists them")
        return job

    def order(give: Callable[[Training], None]) -> Callable[[Request], Any]:
        async def ordered(request: Request) -> Json:
            job = found(request)
            give(job)
            return _state(job, 200)

        return ordered

    async def events(request: Request) -> Response:
        job = found(request)
        return streams.of(request, job.feed, job.snapshot)

    return [
        Route("/api/options", options),
        Route("/api/jobs", jobs_there, methods=["GET"]),
        Route("/api/jobs", start, methods=["POST"]),
        Route("/api/jobs/{id}/pause", order(Training.pause), methods=["POST"]),
        Route("/api/jobs/{id}/resume", order(Training.resume), methods=["POST"]),
        Route("/api/jobs/{id}/stop", order(Training.stop), methods=["POST"]),
        Route("/api/jobs/{id}/events", events),
    ]


def _state(job: Training, status: int) -> Json:
    return Json({"id": job.id, "state": job.state}, status)
