"""``/api/models``, ``/api/predict`` and ``/api/explain``."""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from ..kernels.backends import get_ready_backend
from ..models.inference import NOT_FINITE
from ..models.model import Model
from ..models.network import Predictor
from .explaining import explain
from .images import PIXELS, prediction, read_picture, read_pixels, reading_dict
from .models import Source, describe
from .requests import Json, Threads, announced_size, bad_request, body_of, kind_of

MOST_PICTURE = 24 * 2**20  # bytes: photographs of phones have up to 15 MB
MOST_JSON = 8 * 2**20
LARGE = 2**20  # bytes of a body; more
MOST_LARGE = 16  # of such requests there are at once, so that they hold at most 384 MiB
SHORT_JSON = 2**16  # bytes that are parsed within a millisecond or two; more, on a thread
# Multiply-adds that may hold up the event loop, about a millisecond; more are done on a thread.
SOON = 2_000_000

Sources = Callable[[], Mapping[str, Source]]
Handler = Callable[[Request], Awaitable[Json]]


def reading_routes(sources: Sources, threads: Threads) -> list[Route]:
    """Return the routes, for networks that ``sources`` names anew for each request."""
    kernels = get_ready_backend()
    probabilities = Probabilities(kernels)

    async def models(request: Request) -> Json:
        return Json({"models": describe(sources())})

    async def predict(request: Request) -> Json:
        model, content, images = await _sent(request, sources(), threads)
        if images is None:
            reading = await _on_thread(threads, lambda: read_picture(model, content))
            return Json(reading_dict(reading))
        work = images.size // images.shape[-1] * model.network.n_params

        def chances() -> np.ndarray:
            return probabilities.of(model, images.reshape(-1, PIXELS))

        with bad_request():
            found = chances() if work < SOON else await threads.run(chances)
        answers = [prediction(model, row) for row in found]
        answer = answers[0] if images.ndim == 1 else {"predictions": answers}
        return Json(answer)

    async def explanation(request: Request) -> Json:
        model, content, images = await _sent(request, sources(), threads)
        if images is not None and images.ndim > 1:
            raise HTTPException(400, "one image is explained at a time")
        answer = await _on_thread(threads, lambda: timed(model, content, images))
        return Json(answer)

    def timed(model: Model, content: bytes, image: np.ndarray | None) -> dict[str, Any]:
        began = perf_counter()
        answer = _explained(model, content, image)
        return answer | {"milliseconds": round(1000 * (perf_counter() - began), 1)}

    def _explained(model: Model, content: bytes, image: np.ndarray | None) -> dict[str, Any]:
        if image is not None:
            chances = probabilities.of(model, image[None])[0]
            return prediction(model, chances) | explain(model, kernels, image)
        reading = read_picture(model, content)
        nothing: dict[str, Any] = {"image": None, "layers": [], "connections": [], "saliency": None}
        if not reading.digits:
            return reading_dict(reading) | nothing
        return reading_dict(reading) | explain(model, kernels, reading.digits[0].seen)

    few = _Few()
    return [
        Route("/api/models", models),
        Route("/api/predict", few.of(predict), methods=["POST"]),
        Route("/api/explain", few.of(explanation), methods=["POST"]),
    ]


class Probabilities:
    """What networks say of images from 0, paper, to 255, ink; each network is prepared once.

    Parameters
    ----------
    kernels
        The module of a backend.
    """

    def __init__(self, kernels: ModuleType) -> None:
        self._kernels = kernels
        self._prepared: WeakKeyDictionary[Model, Predictor] = WeakKeyDictionary()

    def of(self, model: Model, images: np.ndarray) -> np.ndarray:
        """Return the probabilities (N, C) for images (N, 784) float32; any thread may ask.

        Raises ValueError if they are not finite.
        """
        predictor = self._prepared.get(model)
        if predictor is None:
            scaled = model.taking_pictures()
            predictor = scaled.network.predictor(
                self._kernels, scaled.params, scaled.scale, scaled.shift
            )
            self._prepared[model] = predictor
        logits = predictor.forward(images)
        if not np.isfinite(logits).all():
            raise ValueError(NOT_FINITE)
        self._kernels.softmax(logits, logits)
        return logits


class _Few:
    """Lets few requests with large bodies in at once, each from its beginning to its end."""

    def __init__(self) -> None:
        self._at_once = 0

    def of(self, handler: Handler) -> Handler:
        """Return the handler, which answers 503 to one too many."""

        async def bounded(request: Request) -> Json:
            if announced_size(request) <= LARGE and "transfer-encoding" not in request.headers:
                return await handler(request)
            if self._at_once >= MOST_LARGE:
                busy = "the server is busy with large bodies; try again in a moment"
                raise HTTPException(503, busy, {"connection": "close"})
            self._at_once += 1
            try:
                return await handler(request)
            finally:
                self._at_once -= 1

        return bounded


async def _on_thread(threads: Threads, work: Callable[[], Any]) -> Any:
    with bad_request():
        return await threads.run(work)


async def _sent(
    request: Request, sources: Mapping[str, Source], threads: Threads
) -> tuple[Model, bytes, np.ndarray | None]:
    """Return the model that a request names, a picture's bytes, and pixels if it has those."""
    kind = kind_of(request)
    picture = kind.startswith("image/") or kind == "application/octet-stream"
    if not picture and kind != "application/json":
        raise HTTPException(
            415, "send a picture as image/png or image/jpeg, or pixels as application/json"
        )
    body = await body_of(request, MOST_PICTURE if picture else MOST_JSON)
    model = _chosen(request.query_params.get("model"), sources)
    if picture:
        return model, body, None
    if len(body) > SHORT_JSON:
        return model, b"", await _on_thread(threads, lambda: read_pixels(body))
    with bad_request():
        return model, b"", read_pixels(body)


def _chosen(name: str | None, sources: Mapping[str, Source]) -> Model:
    """Return the model of a name; without a name the first."""
    ready = {key: source.model for key, source in sources.items() if source.model is not None}
    if not ready:
        raise HTTPException(404, "there is no network yet; train one")
    model = ready.get(next(iter(ready)) if name is None else name)
    if model is None:
        raise HTTPException(404, "there is no network of this name; /api/models lists them")
    return model
