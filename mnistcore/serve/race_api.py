"""``/api/race``."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .computing import Computing
from .event_stream import Streams
from .race import Race, lane_names
from .requests import Json, bad_request, json_of


def race_routes(computing: Computing, streams: Streams) -> list[Route]:
    """Return the routes."""
    known = lane_names()

    async def there(request: Request) -> Json:
        lanes = [{"name": name, "default": default} for name, default in known.items()]
        races = [race.describe() for race in computing.races.values()]
        return Json({"lanes": lanes, "races": races})

    async def start(request: Request) -> Json:
        asked = await json_of(request)
        with bad_request():
            names = _chosen(asked, known)
        race = computing.race(names)
        return Json(race.describe(), 201)

    def found(request: Request) -> Race:
        race = computing.races.get(request.path_params["id"])
        if race is None:
            raise HTTPException(404, "there is no race of this name; /api/race lists them")
        return race

    async def stop(request: Request) -> Json:
        race = found(request)
        race.stop()
        return Json(race.describe())

    async def events(request: Request) -> Response:
        return streams.of(request, found(request).feed)

    return [
        Route("/api/race", there, methods=["GET"]),
        Route("/api/race", start, methods=["POST"]),
        Route("/api/race/{id}/stop", stop, methods=["POST"]),
        Route("/api/race/{id}/events", events),
    ]


def _chosen(asked: dict[str, object], known: dict[str, bool]) -> list[str]:
    """Return the lanes that a request names, slowest first; by default those marked so."""
    if set(asked) - {"rungs"}:
        raise ValueError('a race is asked for by {"rungs": [names of lanes] or null}')
    rungs = asked.get("rungs")
    if rungs is None:
        return [name for name, default in known.items() if default]
    if not isinstance(rungs, list) or not rungs or not all(rung in list(known) for rung in rungs):
        raise ValueError(f"rungs are some of: {'; '.join(known)}")
    return [name for name in known if name in rungs]
