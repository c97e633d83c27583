"""The API's verbs on the daemon itself."""

from __future__ import annotations

import os

from backupd import __version__
from backupd.daemon.gate import EVERYONE
from backupd.daemon.route import Call, Route
from backupd.model.api import API_VERSION, Overview


async def overview(call: Call) -> Overview:
    """Version, places, how much is under way, what is wrong with the settings."""
    services = call.services
    counts = services.jobs.counts()
    return Overview(
        version=__version__,
        api=API_VERSION,
        pid=os.getpid(),
        started_ns=services.started_ns,
        socket=services.places.socket,
        config=services.places.config,
        state=services.places.state,
        jobs_running=counts["running"],
        jobs_queued=counts["queued"],
        warnings=services.warnings,
        roles=sorted(call.peer.roles),
        host=services.definitions.owners.name,
        host_id=services.definitions.owners.id,
    )


ROUTES = [Route("GET", "/v1/daemon", "daemon show", EVERYONE, None, Overview, overview, "The daemon itself.")]
