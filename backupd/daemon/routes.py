"""The whole table of the API: every verb with its role, and the document that describes it."""

from __future__ import annotations

from functools import cache
from typing import Any

from backupd.daemon import (
    config_routes,
    destination_routes,
    doctor_routes,
    job_routes,
    openapi,
    purge_routes,
    query_routes,
    replicate_routes,
    schedule_routes,
    seeding_routes,
    set_routes,
    status_routes,
    system_routes,
    upkeep_routes,
)
from backupd.daemon.gate import EVERYONE
from backupd.daemon.route import Call, Route


async def describe(call: Call) -> dict[str, Any]:
    """The OpenAPI document of this very table."""
    return document()


ROUTES: list[Route] = [
    *system_routes.ROUTES,
    *set_routes.ROUTES,
    *schedule_routes.ROUTES,
    *destination_routes.ROUTES,
    *config_routes.ROUTES,
    *job_routes.ROUTES,
    *upkeep_routes.ROUTES,
    *purge_routes.ROUTES,
    *replicate_routes.ROUTES,
    *seeding_routes.ROUTES,
    *query_routes.ROUTES,
    *status_routes.ROUTES,
    *doctor_routes.ROUTES,
    Route("GET", "/v1/openapi.json", "daemon api", EVERYONE, None, None, describe, "This document."),
]


@cache
def document() -> dict[str, Any]:
    """The API as OpenAPI 3.1."""
    return openapi.document(ROUTES)
