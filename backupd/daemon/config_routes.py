"""The API's verbs on text settings: conf.d, backupd.yaml, documents that are applied and exported."""

from __future__ import annotations

from backupd.daemon.gate import ADMINS, Role
from backupd.daemon.key_watching import caller
from backupd.daemon.route import Call, Route
from backupd.model.api import (
    ApplyConfig,
    Change,
    ConfigExport,
    ConfigView,
    EditSetting,
    Nothing,
)
from backupd.model.sets import ConfigText
from backupd.rules.notice_rules import shown_text
from backupd.rules.pool_rules import without_place

_READERS: tuple[Role, ...] = ("auditor", "admin")


async def show(call: Call) -> ConfigView:
    """The settings in force."""
    found = call.services.configuration
    return ConfigView(
        directory=found.directory,
        settings=found.setting_views(),
        files=found.file_views(),
        policy=found.policy,
        warnings=found.warnings,
    )


async def apply(call: Call) -> Change:
    """Bring sets and destinations to what documents say."""
    body = call.body
    configuration = call.services.configuration
    return await configuration.apply(body.documents, caller(call), prune=body.prune, dry_run=body.dry_run)


async def export(call: Call) -> ConfigExport:
    """Sets with their destinations, or all that there is; addresses of notices as they are shown."""
    known = call.services.definitions
    words = call.request.query.getall("set", [])
    sets = [known.set(word).text for word in dict.fromkeys(words)] if words else [one.text for one in known.sets]
    used = {name for one in sets for name in one.to}
    pools = [one.text.pool for one in known.destinations if one.text.name in used and one.text.pool is not None]
    used |= {name for pool in pools for name in pool.members}
    destinations = [without_place(one.text) for one in known.destinations if not words or one.text.name in used]
    notices = [] if words else [shown_text(one.text) for one in known.notices]
    contacts = [] if words else [one.text for one in known.contacts]
    return ConfigExport(
        config=ConfigText(destinations=destinations, sets=sets, notices=notices, contacts=contacts)
    )


async def reload(call: Call) -> Change:
    """Read the files of the settings directory again."""
    return await call.services.configuration.reload(caller(call))


async def edit(call: Call) -> Change:
    """Write a value into backupd.yaml."""
    body = call.body
    return await call.services.configuration.set(body.key, body.value, caller(call), dry_run=body.dry_run)


ROUTES = [
    Route("GET", "/v1/config", "config show", _READERS, None, ConfigView, show, "Settings and where they come from."),
    Route("POST", "/v1/config/apply", "config apply", ADMINS, ApplyConfig, Change, apply, "Apply documents."),
    Route(
        "GET",
        "/v1/config/export",
        "config export",
        _READERS,
        None,
        ConfigExport,
        export,
        "Write sets as text.",
        ("set",),
    ),
    Route("POST", "/v1/config/reload", "config reload", ADMINS, Nothing, Change, reload, "Read the files again."),
    Route("POST", "/v1/config/set", "config set", ADMINS, EditSetting, Change, edit, "Change a setting."),
]
