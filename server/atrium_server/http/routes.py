"""The routes: what can be asked over HTTP, and the answers.

Every answer that is an error is `{"code": ..., "sentence": ...}`. Handlers take what they need
from `Service`, which is handed to the Litestar app once; there is no other state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import (
    HTTPException,
    NotFoundException,
    PermissionDeniedException,
    ServiceUnavailableException,
    ValidationException,
)
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath, SkipValidation
from litestar.response import Stream

from atrium_server.accounts.errors import AccountError
from atrium_server.accounts.service import Accounts
from atrium_server.ai.keys import AiKeys
from atrium_server.ai.service import AiService
from atrium_server.assets.uploads import Uploads
from atrium_server.http.account_routes import HANDLERS as ACCOUNT_HANDLERS
from atrium_server.http.account_routes import on_account_error, on_store_error
from atrium_server.http.ai_routes import HANDLERS as AI_HANDLERS
from atrium_server.http.asset_routes import HANDLERS as ASSET_HANDLERS
from atrium_server.http.assets import Asset, WebAssets
from atrium_server.http.guard import Admission
from atrium_server.http.held_routes import HANDLERS as HELD_HANDLERS
from atrium_server.http.json_request import JsonRequest
from atrium_server.http.scene_pieces import Unpacking
from atrium_server.http.static_files import IMMUTABLE, takes_gzip
from atrium_server.http.status import ServerStatus, Trouble, WorldStatus
from atrium_server.http.verdict_routes import HANDLERS as VERDICT_HANDLERS
from atrium_server.http.verdict_routes import Reviewer
from atrium_server.http.world_routes import HANDLERS as WORLD_HANDLERS
from atrium_server.http.world_routes import Rewinder
from atrium_server.persistence.errors import StoreError
from atrium_server.telemetry import CONTENT_TYPE, Registry
from atrium_server.version import VERSION
from atrium_shared.limits import HTTP_BODY_BYTES_MAX

REVALIDATE: Final = "no-cache"
SHOWN_CHARS_MAX: Final = 64
"""How much of a name from a request is repeated in an answer."""

_log = logging.getLogger("atrium.http")


@dataclass(slots=True)
class Service:
    """What the handlers work with."""

    status: ServerStatus
    registry: Registry
    assets: WebAssets
    admission: Admission
    accounts: Accounts | None = None
    """None where the server keeps none."""
    uploads: Uploads | None = None
    """The same."""
    rewinder: Rewinder | None = None
    """None where the server keeps no history."""
    ai: AiService | None = None
    """None where the server has no lanes."""
    ai_keys: AiKeys | None = None
    """The same."""
    trouble: Callable[[], Trouble] = Trouble
    """What does not work as it should."""
    reviewer: Reviewer | None = None
    """None where nothing is moderated."""
    unpacking: Unpacking = field(default_factory=Unpacking)


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of /healthz. `worlds` is empty for who does not know a name of the server."""

    alive: bool
    worlds: list[WorldStatus]


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of /readyz; `failed` are the worlds that stay down, told as in Health."""

    ready: bool
    draining: bool
    failed: list[str]
    degraded: str
    """A sentence on what does not work as it should; empty when all is well."""


@dataclass(frozen=True, slots=True)
class WorldEntry:
    """One world in the answer of /api/worlds."""

    world: WorldStatus
    scene_url: str


ServiceParameter = NamedDependency[SkipValidation[Service]]
AnyRequest = Request[Any, Any, Any]


@get("/healthz", summary="Does any world tick?", sync_to_thread=False)
def healthz(request: AnyRequest, service: ServiceParameter) -> Response[Health]:
    """Status 200 while any world ticks, else 503.

    A world that stays down is no reason to end the others: the metrics tell of it.
    """
    worlds = service.status.worlds()
    alive = any(world.alive for world in worlds)
    told = worlds if service.admission.is_named(request.scope["headers"]) else []
    return Response(Health(alive, told), status_code=200 if alive else 503)


@get("/readyz", summary="May clients come?", sync_to_thread=False)
def readyz(request: AnyRequest, service: ServiceParameter) -> Response[Readiness]:
    """Status 200 while clients may come, else 503. Worlds that stay down do not count; nor does it
    when models do not run, but where a world publishes nothing without them."""
    draining = service.status.draining()
    trouble = service.trouble()
    ready = service.status.ready() and not draining and trouble.may_come
    failed = [world.name for world in service.status.worlds() if world.failed]
    told = failed if service.admission.is_named(request.scope["headers"]) else []
    answer = Readiness(ready, draining, told, trouble.sentence)
    return Response(answer, status_code=200 if ready else 503)


@get("/metrics", summary="Metrics for Prometheus", sync_to_thread=False)
def metrics(request: AnyRequest, service: ServiceParameter) -> Response[str]:
    """The text format 0.0.4, for the trusted networks only."""
    host = request.client.host if request.client else ""
    if not service.admission.trusts(host):
        raise PermissionDeniedException(
            "Metrics are only shown to the networks in the setting trusted_networks."
        )
    return Response(service.registry.render(), headers={"content-type": CONTENT_TYPE})


@get("/api/worlds", summary="The worlds of this server", sync_to_thread=False)
def worlds(service: ServiceParameter) -> list[WorldEntry]:
    """Each world with the address of its static scene."""
    status = service.status
    return [
        WorldEntry(world, f"/api/worlds/{world.name}/scene@{status.scene_version(world.name)}")
        for world in status.worlds()
    ]


@get(
    "/api/worlds/{world:str}/{resource:str}",
    summary="The scene of a world; `resource` is `scene@VERSION`",
)
async def scene(
    world: FromPath[str],
    resource: FromPath[str],
    request: AnyRequest,
    service: ServiceParameter,
) -> Response[Any]:
    """All that stands in a world, as JSON. A version never changes, so it may be kept forever;
    what was built since is told on the socket.
    """
    kind, _, version = resource.partition("@")
    if kind != "scene":
        raise NotFoundException(f"A world has no {resource[:SHOWN_CHARS_MAX]!r}, only a scene.")
    content = service.status.scene(world, version)
    if content is None:
        present = service.status.scene_version(world)
        if not present:
            raise NotFoundException(
                f"There is no world called {world[:SHOWN_CHARS_MAX]!r}; /api/worlds lists them."
            )
        raise NotFoundException(
            f"This version of the scene is not served; the present one is scene@{present}."
        )
    asset = Asset(b"", "application/json", f'"{version}"', content)
    answer = _answer(request, asset, IMMUTABLE)
    if answer.status_code == 304 or "content-encoding" in answer.headers:
        return answer
    if not service.unpacking.has_room:
        raise ServiceUnavailableException(
            "Too many ask for this without gzip just now: send 'Accept-Encoding: gzip'.",
            headers={"Retry-After": "5"},
        )
    pieces = service.unpacking.pieces(content)
    return Stream(pieces, headers=answer.headers, media_type=asset.media_type)


@get("/", include_in_schema=False, sync_to_thread=False)
def world_page(request: AnyRequest, service: ServiceParameter) -> Response[bytes]:
    """The world, for desktop, phone and headset."""
    return _answer(request, service.assets.pages["index.html"], REVALIDATE)


@get("/map", include_in_schema=False, sync_to_thread=False)
def map_page(request: AnyRequest, service: ServiceParameter) -> Response[bytes]:
    """The map of the world, for machines that cannot draw it in three dimensions."""
    asset = service.assets.pages.get("map.html")
    if asset is None:
        raise NotFoundException("This server shows no map.")
    return _answer(request, asset, REVALIDATE)


@get("/static/{version:str}/{name:path}", include_in_schema=False, sync_to_thread=False)
def no_file(
    version: FromPath[str], name: FromPath[str], service: ServiceParameter
) -> Response[bytes]:
    """What is asked for is no file of the page, or `static_files` would have answered."""
    if version != service.assets.version:
        raise NotFoundException("The server has a newer version of the page: load it again.")
    raise NotFoundException("The page has no file of this name.")


def _answer(request: AnyRequest, asset: Asset, cache_control: str) -> Response[bytes]:
    headers = {
        "etag": asset.etag,
        "cache-control": cache_control,
        "content-type": asset.media_type,
        "vary": "accept-encoding",
    }
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    if asset.compressed is not None and takes_gzip(request.headers.get("accept-encoding", "")):
        headers["content-encoding"] = "gzip"
        return Response(asset.compressed, headers=headers)
    return Response(asset.body, headers=headers)


_CODES: Final = {
    401: "not_signed_in", 403: "not_allowed", 404: "not_found", 405: "wrong_method",
    409: "taken", 413: "too_large", 415: "wrong_type", 429: "too_many", 501: "not_here",
    503: "unavailable",
}


def _what_is_wrong(error: HTTPException) -> str:
    """The sentence; with the first field that is not as it should be, and never its value."""
    found: Any = error.extra[0] if isinstance(error.extra, list) and error.extra else None
    if not isinstance(error, ValidationException) or not isinstance(found, dict):
        return error.detail
    told = cast("dict[str, object]", found)
    return f"{told.get('key', 'The request')}: {told.get('message', 'not as it should be')}."


def _on_http_error(request: AnyRequest, error: HTTPException) -> Response[dict[str, str]]:
    code = _CODES.get(error.status_code, "bad_request")
    sentence = _what_is_wrong(error)
    if code == "not_found" and sentence == "Not Found":
        sentence = "There is nothing at this address; /api/openapi.json lists what there is."
    elif code == "wrong_method":
        sentence = f"This address does not take {request.method[:SHOWN_CHARS_MAX]} requests."
    return Response(
        {"code": code, "sentence": sentence},
        status_code=error.status_code,
        headers=error.headers,
        media_type="application/json",
    )


def _on_bug(request: AnyRequest, error: Exception) -> Response[dict[str, str]]:
    _log.error("a request to %s failed", request.scope["path"], exc_info=error)
    sentence = "The server failed to answer; the reason is in its log."
    return Response(
        {"code": "internal", "sentence": sentence}, status_code=500, media_type="application/json"
    )


def make_app(service: Service) -> Litestar:
    """The Litestar app of one server."""
    return Litestar(
        [healthz, readyz, metrics, worlds, scene, world_page, map_page, no_file, *ACCOUNT_HANDLERS,
         *ASSET_HANDLERS, *HELD_HANDLERS, *WORLD_HANDLERS, *VERDICT_HANDLERS, *AI_HANDLERS],
        dependencies={"service": Provide(lambda: service, use_cache=True, sync_to_thread=False)},
        request_class=JsonRequest,
        state=State({"service": service}),
        exception_handlers={
            HTTPException: _on_http_error, AccountError: on_account_error,
            StoreError: on_store_error, Exception: _on_bug,
        },
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Atrium",
            version=VERSION,
            path="/api",
            # The pages that show a schema load their scripts from elsewhere; the schema is enough.
            render_plugins=[JsonRenderPlugin()],
            components=Components(
                security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}
            ),
        ),
        request_max_body_size=HTTP_BODY_BYTES_MAX,
    )
