"""`policy.yaml`: what root lays down of the options of sets, destinations and the daemon."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.errors import BackupError, ConfigError, KeptInFileError, NotFoundError
from backupd.model.policies import OptionText, PolicyArea, PolicyKind, PolicyRule, PolicyText
from backupd.model.sets import DestinationText, SetText
from backupd.rules.definition_rules import check_destination, check_set
from backupd.rules.option_policy import filled, refuse, value_of
from backupd.settings.config_files import read_text
from backupd.settings.daemon_settings import DaemonSettings, parse_settings
from backupd.settings.yaml_text import Located, load_located

POLICY_NAME = "policy.yaml"
MACHINE_POLICY = "/etc/backupd/policy.yaml"
"""Holds for the daemons of all users of this machine."""
_OWN = {"sets": ("name", "sources", "to"), "destinations": ("name", "place", "pool")}
"""What each one has for itself."""
_OTHERS_WRITE = 0o022
_STAND_IN = "stand-in"


def read_policies(config: str, machine: str = MACHINE_POLICY) -> list[PolicyRule]:
    """What holds for the daemon with this settings directory. Raises ConfigError.

    Of an option that both the machine's file and that directory's name the machine's holds.
    """
    own = os.path.join(config, POLICY_NAME)
    found: dict[tuple[PolicyArea, str], PolicyRule] = {}
    for path in dict.fromkeys(map(os.path.realpath, (machine, own))):
        for rule in _read(path):
            found.setdefault((rule.area, rule.option), rule)
    return list(found.values())


def parse_policy(text: str, name: str) -> list[PolicyRule]:
    """The rules of a document. name: of its file, for messages. Raises ConfigError with file and line."""
    found = load_located(text.encode(errors="surrogatepass"), PolicyText, name)
    areas: tuple[tuple[PolicyArea, dict[str, OptionText]], ...] = (
        ("sets", found.value.sets),
        ("destinations", found.value.destinations),
        ("settings", found.value.settings),
    )
    return [_rule(found, area, option, one) for area, options in areas for option, one in options.items()]


def with_policy(found: Located[DaemonSettings], policy: Sequence[PolicyRule]) -> Located[DaemonSettings]:
    """Settings with what is laid down. Raises KeptInFileError, with file and line, for one that can't be as it says."""
    value = filled(found.value, "settings", policy, lambda option: found.has(*option.split(".")))
    try:
        refuse(value, "settings", policy)
    except KeptInFileError as error:
        where = found.where(*error.context["at"])
        raise KeptInFileError(f"{where}: {error.message}", hint=error.hint, context=error.context) from error
    return Located(value, found.name, found.root)


def _read(path: str) -> list[PolicyRule]:
    try:
        owner = os.stat(path)
        text = read_text(path)
    except (FileNotFoundError, NotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        # Of the machine's, which its owner keeps from this user: it is not meant for them.
        return []
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", hint="mend it") from error
    if owner.st_uid not in (0, os.geteuid()) or stat.S_IMODE(owner.st_mode) & _OTHERS_WRITE:
        raise ConfigError(
            f"{path} lays down what others may choose, and others may write to it",
            hint=f"chown root {path}; chmod 0644 {path}",
        )
    return parse_policy(text, path)


def _rule(found: Located[PolicyText], area: PolicyArea, option: str, text: OptionText) -> PolicyRule:
    origin = found.where(area, option)
    given: list[tuple[PolicyKind, list[Any]]] = []
    if text.lock is not msgspec.UNSET:
        given.append(("lock", [text.lock]))
    if text.preset is not msgspec.UNSET:
        given.append(("preset", [text.preset]))
    if isinstance(text.allow, list) and text.allow:
        given.append(("allow", text.allow))
    if len(given) != 1:
        raise ConfigError(f"{origin}: {option} has one of lock, preset, allow", hint=f"{option}: {{lock: VALUE}}")
    kind, values = given[0]
    values = [_checked(area, option, one, origin) for one in values]
    return PolicyRule(area=area, option=option, kind=kind, values=values, origin=origin)


def _checked(area: PolicyArea, option: str, value: Any, origin: str) -> Any:
    """A value in its one spelling, in plain types. Raises ConfigError for one that the option can't have."""
    try:
        if area == "settings":
            whole: dict[str, Any] = {}
            *above, last = option.split(".")
            part = whole
            for step in above:
                part = part.setdefault(step, {})
            part[last] = value
            # JSON is YAML, too.
            text = msgspec.json.encode(whole).decode()
            return value_of(parse_settings(text, origin).value, option)
        fields = (SetText if area == "sets" else DestinationText).__struct_fields__
        known = [one for one in fields if one not in _OWN[area]]
        if option not in known:
            raise _unknown(area, option, known)
        if area == "sets":
            return value_of(_as_set({**_BESIDE.get(option, {}), option: value}), option)
        return value_of(_as_destination({option: value}), option)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {option}: {error}", hint="docs/settings.md says what goes there") from error
    except BackupError as error:
        # The stand-in that was checked is a document of one line, or has this name.
        said = error.message
        for beginning in (f"{origin}, line 1: ", f"{_STAND_IN}: ", f"{origin}: "):
            said = said.removeprefix(beginning)
        raise ConfigError(f"{origin}: {option}: {said}", hint=error.hint) from error


def _unknown(area: str, option: str, known: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(option[:64], known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return ConfigError(f"no option of {area} that can be laid down", hint=hint)


def _as_set(given: dict[str, Any]) -> SetText:
    return check_set(msgspec.convert({**_SET, **given}, SetText), {"anywhere": None})


def _as_destination(given: dict[str, Any]) -> DestinationText:
    return check_destination(msgspec.convert({"name": _STAND_IN, "place": "/", **given}, DestinationText))


_SET = {"name": _STAND_IN, "sources": ["/"], "to": ["anywhere"]}
_BESIDE: dict[str, dict[str, Any]] = {
    "max_concurrent": {"mode": "concurrent"},
    "cipher": {"encryption": "custom"},
    "encryption": {"password": {"file": "/password"}},
}
"""Option of a set -> what it needs beside it."""
