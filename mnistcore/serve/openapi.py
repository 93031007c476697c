"""The description of the server's interface, in OpenAPI 3.1: ``GET /openapi.json``."""

from typing import Any

from ..system.version import VERSION

_NUMBER, _TEXT, _COUNT = {"type": "number"}, {"type": "string"}, {"type": "integer"}


def describe_api() -> dict[str, Any]:
    """Return the description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mnistcore",
            "version": VERSION,
            "description": "Reads digits with trained networks, and trains networks while one"
            " watches. Requests of web pages of other sites are refused.",
        },
        "paths": {**_reading(), **_training(), **_race(), **_page()},
        "components": {"schemas": _schemas()},
    }


def _reading() -> dict[str, Any]:
    model = _parameter("model", "query", "one of /api/models; by default the first", False)
    pixels = {
        "description": "784 numbers from 0 (paper) to 255 (ink), row by row",
        "type": "array",
        "items": _NUMBER,
    }
    many = {"type": "array", "items": pixels, "maxItems": 1000}
    either = _object(pixels={"oneOf": [pixels, many]})
    one = _object(pixels=pixels)
    picture = {"image/*": {"schema": {"type": "string", "format": "binary"}}}
    predictions = _object(predictions={"type": "array", "items": _ref("Prediction")})
    return {
        "/api/models": {
            "get": _operation("The networks among which one may choose", _ref("Models"))
        },
        "/api/predict": {
            "post": _operation(
                "Read the digit in a picture of any size, or in images of 28 x 28 pixels",
                {"oneOf": [_ref("Prediction"), predictions]},
                parameters=[model],
                body={**picture, "application/json": {"schema": either}},
            )
        },
        "/api/explain": {
            "post": _operation(
                "Read a digit, and show what the network makes of it",
                {"allOf": [_ref("Prediction"), _ref("Explanation")]},
                parameters=[model],
                body={**picture, "application/json": {"schema": one}},
            )
        },
    }


def _training() -> dict[str, Any]:
    job = _parameter("id", "path", "one of /api/jobs")
    orders = {
        f"/api/jobs/{{id}}/{order}": {
            "post": _operation(f"{order.capitalize()} a training", _ref("State"), parameters=[job])
        }
        for order in ("pause", "resume", "stop")
    }
    options = {"application/json": {"schema": _ref("Options")}}
    return {
        "/api/options": {"get": _operation("What a training may choose", {"type": "object"})},
        "/api/jobs": {
            "get": _operation("The trainings", _object(jobs={"type": "array"})),
            "post": _operation("Start a training", _ref("State"), body=options, status="201"),
        },
        **orders,
        "/api/jobs/{id}/events": {"get": _stream("snapshot, progress, evaluation, state", job)},
    }


def _race() -> dict[str, Any]:
    race = _parameter("id", "path", "one of /api/race")
    rungs = {"type": ["array", "null"], "items": _TEXT}
    asked = {"application/json": {"schema": {"type": "object", "properties": {"rungs": rungs}}}}
    return {
        "/api/race": {
            "get": _operation("The lanes that there are, and the races", {"type": "object"}),
            "post": _operation("Start a race", _ref("State"), body=asked, status="201"),
        },
        "/api/race/{id}/stop": {
            "post": _operation("Stop a race", _ref("State"), parameters=[race])
        },
        "/api/race/{id}/events": {"get": _stream("progress, state", race)},
    }


def _page() -> dict[str, Any]:
    name = _parameter("name", "path", "a file of the page")
    return {
        "/": {"get": _answered("The page", {"text/html": {}})},
        "/page/{name}": {"get": _answered("A file of the page", {"*/*": {}}, parameters=[name])},
        "/healthz": {"get": _operation("A sign of life", _object(status={"const": "ok"}))},
        "/openapi.json": {"get": _operation("This description", {"type": "object"})},
    }


def _schemas() -> dict[str, Any]:
    numbers = {"type": "array", "items": _NUMBER}
    layer = _object(size=_COUNT, activations=numbers)
    connection = _object(layer=_COUNT, to=_COUNT, contribution=_NUMBER, **{"from": _COUNT})
    options = {
        "layers": {"type": "array", "items": _COUNT, "maxItems": 4},
        **dict.fromkeys(("activation", "optimizer", "backend"), _TEXT),
        **dict.fromkeys(("learning_rate", "momentum", "weight_decay", "dropout"), _NUMBER),
        "label_smoothing": _NUMBER,
        **dict.fromkeys(("batch_size", "epochs", "threads", "seed"), _COUNT),
        **{name: {"type": "boolean"} for name in ("batch_norm", "augment")},
    }
    model = _object(
        id=_TEXT,
        name=_TEXT,
        kind={"enum": ["run", "job"]},
        layers={"type": "array", "items": _COUNT},
        activation=_TEXT,
        image_shape={"type": "array", "items": _COUNT},
        classes={"type": "array", "items": _TEXT},
        parameters=_COUNT,
        test_accuracy={"type": ["number", "null"]},
    )
    return {
        "Error": _object(error={"type": "string", "description": "one sentence"}),
        "Models": _object(models={"type": "array", "items": model}),
        "Prediction": {
            "type": "object",
            "description": "without a digit both are null, and reason says why",
            "properties": {
                "digit": {"type": ["integer", "null"]},
                "character": {"type": ["string", "null"]},
                "probabilities": {"type": ["array", "null"], "items": _NUMBER},
                "found": _COUNT,
                "reason": _TEXT,
                "first_of_several": {"type": "boolean"},
                "class_names": {"type": "array", "items": _TEXT},
            },
        },
        "Explanation": _object(
            image={"type": ["array", "null"], "items": numbers},
            layers={"type": "array", "items": layer},
            connections={"type": "array", "items": connection},
            saliency={"type": ["array", "null"], "items": numbers},
            milliseconds=_NUMBER,
        ),
        "Options": {"type": "object", "properties": options},
        "State": _object(id=_TEXT, state=_TEXT),
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _parameter(name: str, place: str, about: str, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": place, "description": about, "required": required, "schema": _TEXT}


def _operation(
    about: str,
    answer: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    status: str = "200",
) -> dict[str, Any]:
    content = {"application/json": {"schema": answer}}
    return _answered(about, content, parameters, body, status)


def _answered(
    about: str,
    content: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    status: str = "200",
) -> dict[str, Any]:
    error = {"application/json": {"schema": _ref("Error")}}
    operation: dict[str, Any] = {
        "summary": about,
        "responses": {
            status: {"description": about, "content": content},
            "default": {"description": "An error", "content": error},
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _stream(kinds: str, parameter: dict[str, Any]) -> dict[str, Any]:
    content = {"text/event-stream": {"schema": _TEXT}}
    return _answered(f"Server-sent events: {kinds}", content, [parameter])
