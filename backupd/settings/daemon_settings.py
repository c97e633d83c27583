"""`backupd.yaml`: the settings of the daemon itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from backupd.errors import ConfigError, NotFoundError, UsageError
from backupd.model.bandwidth import BandwidthText
from backupd.model.sets import ProxyText
from backupd.model.structs import Text
from backupd.rules.definition_rules import check_directory, check_proxy, check_quota
from backupd.rules.digest import minutes_of
from backupd.settings import bandwidth
from backupd.settings.config_files import read_text, settings_path
from backupd.settings.mail import USUAL_DIGEST, MailSettings, check_mail
from backupd.settings.yaml_text import Located, load_located
from backupd.settings.zone import find_zone
from backupd.sizes import parse_duration, parse_share, parse_size

_MOST_JOBS = 64
_MOST_PORT = 65535
_LEAST_LOG_SECONDS = 86_400
_LEAST_LOG_BYTES = 1 << 20


class QueueSettings(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much is done at once."""

    jobs_at_once: int = 2


class MetricsSettings(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where metrics are served besides the socket."""

    listen: str | None = None
    """Address and port of this machine alone: `127.0.0.1:9816`, `[::1]:9816`; empty: nowhere."""


class LogSettings(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long, and how much, is kept of jobs that have ended."""

    keep: str = "90d"
    most: str = "256MiB"
    """Of the whole catalog."""


class DaemonSettings(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What stands in backupd.yaml; absent = these defaults."""

    access: dict[Literal["admin", "operator", "restorer", "auditor"], list[str]] = {}
    """Role -> login names, `%group` or `*`."""
    queue: QueueSettings = QueueSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogSettings = LogSettings()
    time_zone: str | None = None
    bandwidth: BandwidthText = BandwidthText()
    temp: str | None = None
    """Absolute path of a directory for what jobs put aside while they run."""
    proxy: ProxyText | None = None
    """On the way to all stores that don't say otherwise."""
    account_quota: str | None = None
    """How much all sets together may hold, in bytes of their sources; empty: no limit."""
    smtp: MailSettings = MailSettings()
    digest_at: str = USUAL_DIGEST
    """Time of day at which notices tell of the last day, in the daemon's zone."""
    quota_near: str = "90%"
    """How much of a quota is used when notices tell of it."""


def read_settings(config: str) -> Located[DaemonSettings]:
    """Read `<config>/backupd.yaml`, which need not be there. Raises ConfigError."""
    path = settings_path(config)
    try:
        return parse_settings(read_text(path), path)
    except NotFoundError:
        return Located(DaemonSettings(), path, None)


def parse_settings(text: str, name: str) -> Located[DaemonSettings]:
    """The settings of a document. name: of its file, for messages. Raises ConfigError with file and line."""
    found = load_located(text.encode(errors="surrogatepass"), DaemonSettings, name)
    settings = found.value
    if not 1 <= settings.queue.jobs_at_once <= _MOST_JOBS:
        raise ConfigError(
            f"{found.where('queue', 'jobs_at_once')}: jobs_at_once is {settings.queue.jobs_at_once}",
            hint=f"write a number from 1 to {_MOST_JOBS}",
        )
    _check(found, "logs", check_logs, settings.logs)
    if settings.time_zone is not None:
        _check(found, "time_zone", find_zone, settings.time_zone, {})
    if settings.temp is not None:
        _check(found, "temp", check_directory, settings.temp)
    if settings.proxy is not None:
        _check(found, "proxy", check_proxy, settings.proxy)
    if settings.metrics.listen:
        _check(found, "metrics", listening_address, settings.metrics.listen)
    if settings.account_quota:
        _check(found, "account_quota", check_quota, settings.account_quota)
    check_mail(settings.smtp, found.where)
    _check(found, "digest_at", minutes_of, settings.digest_at)
    _check(found, "quota_near", parse_share, settings.quota_near)
    bandwidth.check(settings.bandwidth, found.where)
    return found


def listening_address(text: str) -> tuple[str, int]:
    """(address, port) of `127.0.0.1:9816` or `[::1]:9816`. Raises UsageError for another machine's, or none."""
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    except ValueError:
        address, number = None, 0
    if address is None or not 1 <= number <= _MOST_PORT:
        raise UsageError(f"'{text}' is no address to listen on", hint="write it as 127.0.0.1:9816 or [::1]:9816")
    if not address.is_loopback:
        hint = "a proxy with TLS and a login can pass it on; or write a file: bkctl status --format prometheus"
        raise UsageError(f"{address} can be reached from elsewhere, and nobody is asked for a login", hint=hint)
    return str(address), number


def check_logs(logs: LogSettings) -> None:
    """Raises UsageError."""
    if parse_duration(logs.keep) < _LEAST_LOG_SECONDS:
        raise UsageError(f"logs.keep is {logs.keep}", hint="1d is the least: a day's jobs tell whether backups run")
    if parse_size(logs.most) < _LEAST_LOG_BYTES:
        raise UsageError(f"logs.most is {logs.most}", hint="1MiB is the least")


def _check(found: Located[DaemonSettings], key: str, check: Callable[..., object], *of: object) -> None:
    """Raises ConfigError with the line of a setting that a check refuses."""
    try:
        check(*of)
    except UsageError as error:
        raise ConfigError(f"{found.where(key)}: {error.message}", hint=error.hint) from error


def entries(settings: msgspec.Struct, steps: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each setting with the way to it: names of structs' fields and of maps' keys; an empty map is itself one."""
    for field, name in zip(settings.__struct_fields__, settings.__struct_encode_fields__, strict=True):
        value = getattr(settings, field)
        if isinstance(value, msgspec.Struct):
            yield from entries(value, (*steps, name))
        elif isinstance(value, dict) and value:
            for key, one in value.items():
                yield (*steps, name, str(key)), one
        else:
            yield (*steps, name), value
