"""A daemon from its start to its end: lock, catalog, socket, signals."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from backupd.catalog.database import Database
from backupd.catalog.jobs import StoredJob
from backupd.clock import Clock
from backupd.daemon import metrics
from backupd.daemon.bandwidth import Bandwidth
from backupd.daemon.carrying import Carrier
from backupd.daemon.configuration import Configuration
from backupd.daemon.continuous import Continuous
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import Gate
from backupd.daemon.job_files import JobFiles
from backupd.daemon.jobs import Jobs
from backupd.daemon.key_watching import tell_credentials
from backupd.daemon.known_types import make_known
from backupd.daemon.leftovers import remove_all
from backupd.daemon.log_rotation import LogRotation
from backupd.daemon.metrics_port import MetricsPort
from backupd.daemon.notices.hub import Notices
from backupd.daemon.places import DaemonPlaces
from backupd.daemon.queries import Queries
from backupd.daemon.routes import ROUTES
from backupd.daemon.scheduling import Scheduler
from backupd.daemon.service_status import ServiceStatus
from backupd.daemon.services import Services
from backupd.daemon.serving import Server
from backupd.daemon.status_routes import coming_of, report_of, underway_of
from backupd.daemon.supervisor import OWN_VARIABLES, Supervisor
from backupd.errors import BackupError, BusyError, UsageError
from backupd.settings import directories
from backupd.settings.daemon_settings import DaemonSettings
from backupd.settings.directories import ensure
from backupd.settings.keys import KeyStore
from backupd.settings.lock import SetLock
from backupd.state_errors import translated

_PATH_BYTES = 107
_LOCK_SECONDS = 0.2

_log = logging.getLogger("backupd.daemon")


class _Signals:
    """What the service manager wants, heard from the first moment on: a signal without a handler would end us."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload: Callable[[], None] = lambda: None
        """Before there are settings: they will be read anyway."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        self.reload()


async def run(places: DaemonPlaces, clock: Clock, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT. Raises BackupError where it can't start. environment: of job processes."""
    signals = _Signals()
    make_known()
    ensure(places.state)
    supervisor = Supervisor(environment)
    with StateLock(places.state):
        end = supervisor.passed_socket() or bind(places.socket)
        database = Database(places.state)
        try:
            services, server = await _assemble(places, clock, environment, database, signals)
            await server.listen(end)
            told = ServiceStatus(supervisor, services)
            signals.reload = _reloading(services.configuration, supervisor, told, clock)
            services.jobs.follow_moves(told.tell)
            told.ready()
            await _serve(services, server, supervisor, told, signals)
        finally:
            database.close()
            _unbind(end, places.socket, is_ours=not supervisor.has_passed_socket)


async def _assemble(
    places: DaemonPlaces, clock: Clock, environment: Mapping[str, str], database: Database, signals: _Signals
) -> tuple[Services, Server]:
    definitions = Definitions(database, clock)
    for_jobs = _environment_of_jobs(environment, places)
    await definitions.owners.find_out(for_jobs)
    await asyncio.to_thread(_make_key_directory, for_jobs)
    await definitions.reload()
    notices = Notices(database, definitions, clock, for_jobs)
    told = partial(tell_credentials, notices)
    configuration = Configuration(places.config, database, definitions, clock, told)
    signals.reload = configuration.reload_soon
    await configuration.start()
    settings = configuration.settings
    definitions.adopt(settings)
    await remove_all(for_jobs, settings.temp)
    files = JobFiles(places.state)
    bandwidth = Bandwidth(definitions, clock, environment)
    bandwidth.adopt(settings)
    carrier = Carrier(database, definitions, clock, for_jobs, files, bandwidth)
    jobs = Jobs(database, carrier, clock, settings.queue.jobs_at_once)
    jobs.follow_up = carrier.commands.begin(places.state, lambda: jobs.is_stopping)
    notices.adopt(settings)
    notices.underway = partial(underway_of, jobs)
    jobs.follow_begins(notices.hear_begin)
    jobs.follow_ends(notices.hear_end)
    carrier.commands.hand_out = notices.hand_out
    scheduler = Scheduler(database, definitions, jobs, clock, environment)
    scheduler.adopt(settings)
    notices.coming = partial(coming_of, scheduler.ahead)
    await scheduler.start()
    continuous = Continuous(definitions, jobs, clock, for_jobs)
    port = MetricsPort(lambda: _metrics(services))
    gate = Gate(settings.access)
    services = Services(
        places=places,
        clock=clock,
        database=database,
        definitions=definitions,
        jobs=jobs,
        files=files,
        queries=Queries(for_jobs),
        gate=gate,
        configuration=configuration,
        bandwidth=bandwidth,
        log_rotation=LogRotation(database, files, places.state, clock, settings.logs),
        notices=notices,
        scheduler=scheduler,
        continuous=continuous,
        metrics_port=port,
        environment=for_jobs,
        started_ns=clock.now_ns(),
        warnings=configuration.warnings,
    )

    def adopt(settings: DaemonSettings) -> None:
        gate.replace(settings.access)
        definitions.adopt(settings)
        scheduler.adopt(settings)
        jobs.most = settings.queue.jobs_at_once
        jobs.turn()
        bandwidth.adopt(settings)
        notices.adopt(settings)
        services.start(port.adopt(settings))
        services.log_rotation.adopt(settings.logs)

    await port.adopt(settings)
    configuration.follow(adopt)

    async def free_of_orphans(stored: StoredJob) -> None:
        """Wait until no process of a former daemon holds the lock of the job's set."""
        known = [r.stored_set_id for r in definitions.repositories if r.set_id == stored.set_id]
        for identity in dict.fromkeys([*known, stored.set_id or ""]):
            if not identity:
                continue
            while await asyncio.to_thread(_is_locked, places.state, identity, clock):
                await asyncio.sleep(_LOCK_SECONDS)

    await jobs.restore_from_catalog(free_of_orphans)
    return services, Server(ROUTES, gate, services)


def _environment_of_jobs(environment: Mapping[str, str], places: DaemonPlaces) -> dict[str, str]:
    found = {name: value for name, value in environment.items() if name not in OWN_VARIABLES}
    return {**found, "BACKUPD_STATE": places.state} if places.owns_state else found


def _make_key_directory(environment: Mapping[str, str]) -> None:
    """Who brings a key finds where it belongs: copied to a directory that is missing, it would become a file."""
    try:
        KeyStore(directories.find(environment).data).make()
    except BackupError as error:
        # Runs say so, and status; what is not encrypted needs none.
        _log.warning("%s; %s", error.message, error.hint)


async def _metrics(services: Services) -> str:
    return metrics.render(await report_of(services))


def _is_locked(state: str, identity: str, clock: Clock) -> bool:
    """Whether a process holds the lock of a set; where that can't be told, its next job finds out."""
    try:
        with SetLock(state, identity) as lock:
            lock.acquire(clock)
    except BusyError:
        return True
    except BackupError as error:
        _log.warning("%s", error.message)
    return False


def _reloading(
    configuration: Configuration, supervisor: Supervisor, told: ServiceStatus, clock: Clock
) -> Callable[[], None]:
    """Read the settings again, and have the service manager know when that is done."""

    def reload() -> None:
        supervisor.reloading(clock.monotonic())
        configuration.reload_soon(told.ready)

    return reload


async def _serve(
    services: Services, server: Server, supervisor: Supervisor, told: ServiceStatus, signals: _Signals
) -> None:
    lasting = [
        asyncio.create_task(work)
        for work in (
            supervisor.tell_alive(told.tell),
            services.jobs.keep_up(),
            services.bandwidth.keep_up(),
            services.log_rotation.keep_up(),
            services.scheduler.keep_up(),
            services.continuous.keep_up(),
        )
    ]
    telling = asyncio.create_task(services.notices.keep_up())
    try:
        await until_stopped(signals.stop, [*lasting, telling])
    finally:
        for task in lasting:
            task.cancel()
        services.jobs.follow_moves(lambda: None)
        told.stopping()
        services.queries.kill_all()
        await services.jobs.stop()
        telling.cancel()
        await services.notices.stop()
        services.scheduler.close()
        await services.metrics_port.close()
        await server.close()


async def until_stopped(stop: asyncio.Event, lasting: Iterable[asyncio.Task[None]]) -> None:
    """Wait until it is time to stop. Raises what a task that lasts for ever ended with.

    A daemon that answers, and of which the part is dead that begins backups, is worse than one that is started anew.
    """
    stopping = asyncio.ensure_future(stop.wait())
    waiting: set[asyncio.Future[Any]] = {stopping, *lasting}
    try:
        while not stopping.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        stopping.cancel()


class StateLock:
    """One daemon a state directory."""

    def __init__(self, state: str) -> None:
        """Take the lock. Raises BusyError with the other's pid."""
        path = os.path.join(state, "backupd.lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise translated(error, path) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise BusyError(
                f"another backupd works on {state}" + f": process {holder}" * bool(holder),
                hint="stop it first, or give another --state",
            ) from error
        with suppress(OSError):
            # Only told to others; a full disk keeps nobody from holding the lock.
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def __enter__(self) -> StateLock:
        """The lock itself, which is held."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        os.close(self._fd)


def bind(path: str) -> socket.socket:
    """A listening Unix socket, 0660 from its first moment on. Raises BackupError, UsageError.

    A path longer than the system takes is bound from within its directory. A socket that nobody listens on is replaced.
    """
    directory, name = os.path.split(path)
    _make_directory(directory)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        _remove_dead(path)
        _bind_within(end, directory, name, path)
        os.chmod(path, 0o660)
    except OSError as error:
        end.close()
        raise BackupError(f"can't listen on {path}: {error.strerror}", hint="give another --socket") from error
    finally:
        os.umask(former)
    end.setblocking(False)
    return end


def _make_directory(directory: str) -> None:
    try:
        if not os.path.isdir(directory):
            os.makedirs(directory)
            # The umask keeps the group out, which is to reach the socket.
            os.chmod(directory, 0o750)
    except OSError as error:
        raise translated(error, directory) from error


def _bind_within(end: socket.socket, directory: str, name: str, path: str) -> None:
    if len(os.fsencode(path)) <= _PATH_BYTES:
        end.bind(path)
        return
    if len(os.fsencode(name)) > _PATH_BYTES:
        raise UsageError(f"the name of the socket {path} is too long")
    former = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir(directory)
        end.bind(name)
    finally:
        os.fchdir(former)
        os.close(former)


def _remove_dead(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UsageError(f"{path} is there and is no socket", hint="give another --socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
                os.unlink(path)
            return
    raise BusyError(f"another backupd listens on {path}", hint="stop it first, or give another --socket")


def _unbind(end: socket.socket, path: str, *, is_ours: bool) -> None:
    end.close()
    if is_ours and os.path.exists(path):
        os.unlink(path)
