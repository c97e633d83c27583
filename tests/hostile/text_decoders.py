"""Rows of the table: what people write and what text objects say; settings, patterns, keys, times, identities."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from blake3 import blake3

from backupd import sizes
from backupd.cache import verified_blocks
from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.destination.local import LocalDestination
from backupd.errors import BackupError
from backupd.model.notices import masked
from backupd.model.orders import InfoOrder, Selection
from backupd.model.policies import PolicyArea
from backupd.model.sets import ConfigDocument, DestinationText, SetText
from backupd.model.striking import strike
from backupd.operations import bare_blocks, snapshots
from backupd.operations.backup import sudden_drop
from backupd.operations.context import JobContext
from backupd.operations.fs_snapshots.lvm import parse_volumes
from backupd.operations.fs_snapshots.record import parse_record
from backupd.operations.notices import certificates
from backupd.operations.restore import sparing
from backupd.operations.restore.versions import pick_versions
from backupd.operations.streams import into_database
from backupd.operations.streams.cluster_text import Known, without_known
from backupd.operations.streams.database_programs import names_of
from backupd.operations.streams.mongodb_archive import read_head
from backupd.repository import identity, opening, purge_marker
from backupd.rules import globs, moments, names, notice_rules, option_policy, picking
from backupd.rules.digest import minutes_of
from backupd.rules.filter_rules import parse_filter_file
from backupd.rules.filtering import Filters
from backupd.rules.gitignore import parse_gitignore
from backupd.rules.regular_expressions import ExpressionSet, check_expression
from backupd.rules.retry_after import asked_seconds
from backupd.settings import (
    config_documents,
    config_files,
    daemon_settings,
    directories,
    evidence_key,
    host,
    keys,
    policy_file,
    settings_edit,
)
from backupd.settings.lock import SetLock
from backupd.snapshot.notes import LOST, noted
from backupd.snapshot.records import Note, Snapshot
from tests.hostile.decoder import Decoder
from tests.support.mongodb_archives import archive
from tests.support.people import person

_ARCHIVE = archive(("shop", "item"), ("", "oplog"), documents=1)
_CLUSTER = b"""-- Roles
\\restrict x
CREATE ROLE owner;
ALTER ROLE "a""b" WITH SUPERUSER PASSWORD 'x''y';
COMMENT ON ROLE b IS E'it\\'s';
CREATE TABLESPACE fast LOCATION '/x';
\\connect template1
"""
_REPOSITORY = "r" + "0" * 32
_STANDING = b'[{"kind": "btrfs", "place": "/a/.backupd-snapshots/b\\udc80", "name": "b", "mounted_at": "", "date": ""}]'
_VOLUMES = b'{"report": [{"lv": [{"vg_name": "vg", "lv_name": "home", "lv_size": "4194304"}]}]}'
_IDENTITY = json.dumps(
    {"magic": "backupd repository", "version": 1, "required": [], "optional": [], "id": _REPOSITORY,
     "keyring": "1-0011223344556677", "created": "2026-11-21T21:07:10+00:00"}
).encode()  # fmt: skip
_CERTIFICATE = person("fuzz").certificate
_VERIFIED = b"ab" * 32 + b" 1795000000\n" + b"cd" * 32 + b" 0\n"
_ONCE = json.dumps({"magic": "backupd once", "version": 1, "repository": _REPOSITORY}).encode()
_MARKER = b'{"magic": "backupd purge", "version": 1, "plan": "p1", "deleting": true}'
_POLICY = b"""sets:
  compression: {lock: best}
  encryption: {allow: [default, password]}
destinations:
  retry_for: {preset: 10m}
settings:
  queue.jobs_at_once: {lock: 1}
  time_zone: {allow: [Europe/Vienna]}
"""
_SETTINGS = b"""# Ours.
access:
  admin: [root, "%wheel"]
  auditor: ['*']
queue:
  jobs_at_once: 3
time_zone: Europe/Vienna
bandwidth:
  mode: shared
  rules:
  - {name: office, rate: 20 Mbit/s, direction: upload, days: [mon], from: "08:00", to: "18:00"}
  - {name: night, rate: 2 MiB/s, zone: Europe/Vienna, destinations: [disk]}
smtp: {host: mail.example.org, security: tls, login: {file: /etc/backupd/smtp.login}, from: b@example.org, timeout: 1m}
digest_at: "06:30"
quota_near: 85%
"""
_DEFINITIONS = b"""destinations:
- name: disk
  place: /mnt/disk
  absent: skip
sets:
- name: documents
  sources: [/home/anna, /etc]
  to: [disk]
  filters:
  - exclude: '*.tmp'
  - {include: /home/anna/keep.tmp}
  max_age: 1d12h
  chunk_size: 64KiB
  password: {file: /etc/backupd/password}
  jobs: 2
  tags: {why: test}
  time_zone: Asia/Tokyo
  retention:
    days: 7
    rules:
    - {weekly: 4, when: "sat,sun", name: weekend}
    - {quarterly: 4, when: "jan,apr,jul,oct/last-fri"}
    - {yearly: 7, when: w53/mon}
    - {dates: [2026-12-24], count: 1}
    keep_tags: [why=upgrade]
  retention_at: {disk: {keep: all}}
notices:
- {name: admins, url: "mailto:anna@example.org,ben@example.org", on: [failure, digest], sets: [documents]}
- {name: hook, url: "https://example.org:8443/hook?a=b", secret: {file: /etc/backupd/hook.key}}
- {name: phone, url_from: {file: /etc/backupd/ntfy.url}}
contacts:
- {name: anna, email: anna@example.org, certificate: /etc/backupd/anna.pem}
"""
_KEY = keys.render(
    keys.KeptKey(repository_id=_REPOSITORY, secret="A" * 44, place="/mnt\n/disk", slot="k1", made_ns=5 * 10**18)
).encode()
_RULES = b"\xef\xbb\xbf# Ours.\n- *.tmp\n+ /home/**/[a-c]*.txt \n- node_modules/\n- \\#x\\ \n- *a*b*c\n"
_MADE_WITH = json.dumps({"filters": [{"exclude": "*.tmp"}, {"include": "/a/**"}, {"file": "x"}], "jobs": 2}).encode()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _twins(data: bytes, path: Path) -> object:
    """The first text object, the twin, or both are hostile."""
    place = LocalDestination(str(path), "fuzz")
    found: list[object] = []
    for hostile in (identity.TWINS[:1], identity.TWINS[1:], identity.TWINS):
        for twin in identity.TWINS:
            _write(path / _REPOSITORY / twin, data if twin in hostile else _IDENTITY)
        found.append(identity.damaged_twins(place, _REPOSITORY))
        below = LocalDestination(str(path / _REPOSITORY), "fuzz")
        found += [opening.parse_epoch(name) for name in sorted(identity.first_keyrings(below))]
        found.append(identity.read_identity(place, _REPOSITORY))
    return found


def _once(data: bytes, path: Path) -> object:
    place = LocalDestination(str(path), "fuzz")
    _write(path / "once.json", data)
    _write(path / _REPOSITORY / identity.TWINS[0], _IDENTITY)
    chosen = identity.choose(place, ["once.json", _REPOSITORY])
    assert chosen == _REPOSITORY
    return identity.read_once(place)


def _purge_marker(data: bytes, path: Path) -> object:
    below, name = LocalDestination(str(path), "fuzz"), "gc/purge-" + "0" * 32
    _write(path / name, data)
    assert purge_marker.names(below) == [name]
    return purge_marker.read(below, name)


def _evidence_key(data: bytes, path: Path) -> object:
    _write(path / "evidence.key", data)
    return evidence_key.load_or_make(str(path)).private_bytes_raw()


def _bare(data: bytes, path: Path) -> object:
    """A folder of another name, which only its text object tells to be a repository's."""
    _write(path / "folder" / identity.TWINS[0], data)
    (path / "folder" / "blocks").mkdir(exist_ok=True)
    return bare_blocks._repository_id(str(path / "folder"), str(path / "folder" / "blocks"))


def _settings_file(data: bytes, path: Path) -> object:
    """The file, and the same text as it comes by the API."""
    _write(path / config_files.SETTINGS_NAME, data)
    try:
        found = daemon_settings.read_settings(str(path))
    except BackupError:
        found = daemon_settings.parse_settings(_text(data), "x")
    return found.where("queue", "jobs_at_once"), list(daemon_settings.entries(found.value))


def _definitions(data: bytes, _: Path) -> object:
    found = config_documents.read([ConfigDocument(name="x", text=_text(data))])
    destinations, sets, errors = config_documents.check(found, {})
    notices, contacts, wrong = config_documents.check_noticed(found, [one.text.name for one in sets])
    errors += wrong
    config_documents.sentences(errors)
    config_documents.raise_all(errors)
    shown = [masked(one.text.url) for one in notices]
    return destinations, shown, contacts, config_documents.remarks([one.text for one in sets], {})


def _policy(data: bytes, _: Path) -> object:
    """The rules, and what they make of a set, a destination and settings that say nothing."""
    rules = policy_file.parse_policy(_text(data), "x")
    made: list[object] = [policy_file.with_policy(daemon_settings.parse_settings("", "y"), rules)]
    texts: list[tuple[PolicyArea, SetText | DestinationText]] = [
        ("sets", SetText(name="a", sources=["/a"], to=["b"])),
        ("destinations", DestinationText(name="b", place="/b")),
    ]
    for area, text in texts:
        made.append(option_policy.locked(text, area, rules))
        made.append(option_policy.by_policy(text, area, rules, [], lambda one: one))
        option_policy.refuse(text, area, rules)
    return made


def _edit(data: bytes, _: Path) -> object:
    """Key and value on the first two lines, then the text."""
    key, value, text = (_text(data) + "\n\n").split("\n", 2)
    return settings_edit.with_value(text, key, value, "x")


def _key(data: bytes, path: Path) -> object:
    store = keys.KeyStore(str(path))
    _write(Path(store.path_of(_REPOSITORY)), data)
    found = store.load(_REPOSITORY)
    assert found is not None
    again = keys.parse(keys.render(found), _REPOSITORY, "x")
    assert again.secret == found.secret
    return found


def _rules(data: bytes, _: Path) -> object:
    filters = Filters(parse_filter_file(data, b"x"))
    paths = (b"/home/anna/a.txt", b"/" + b"a" * 60, b"/x/" + b"ab/" * 20 + b"c\xff", b"/etc/node_modules")
    return [filters.decide(path, path.rpartition(b"/")[2], flag) for path in paths for flag in (False, True)]


_GITIGNORE = b"# c\n*.o\n!keep.o\n/build/\n**/tmp/*\na/**/b[[:digit:]]\nend\\ \n\\#x\r\n"


def _gitignore(data: bytes, _: Path) -> object:
    filters = Filters(parse_gitignore(data, b"/home/a[b]/.gitignore"))
    paths = (b"/home/a[b]/x.o", b"/home/a[b]/" + b"ab/" * 20 + b"c\xff", b"/home/a[b]/build")
    return [filters.decide(path, path.rpartition(b"/")[2], flag) for path in paths for flag in (False, True)]


def _expression(data: bytes, _: Path) -> object:
    check_expression(_text(data))
    found = ExpressionSet([(data, False), (data, True)])
    names = (b"core.12", b"a" * 200 + b"\xff", b"x\ny")
    return found.may_match(b"\n".join(names)), [found.matches(name) for name in names]


def _glob(data: bytes, _: Path) -> object:
    return globs.compile_glob(_text(data))


def _moment(data: bytes, _: Path) -> object:
    now = datetime(2026, 11, 21, 21, 7, tzinfo=UTC)
    return [moments.parse(_text(data), now, zone) for zone in (UTC, ZoneInfo("Europe/Vienna"))]


def _pick(data: bytes, _: Path) -> object:
    """A word for a snapshot."""
    record = picking.SnapshotRecord(
        id="s" + "1" * 32, set_id="b" + "2" * 32, set_name="a", host="x", time_ns=5 * 10**18, is_complete=True,
        sources=[b"/a"],
    )  # fmt: skip
    return picking.pick([record], Selection(set_name="a", as_of=_text(data)), datetime(2026, 11, 21, tzinfo=UTC), UTC)


def _pick_version(data: bytes, _: Path) -> object:
    """A word for a version, where there is none."""
    environ = {"HOME": "/", "TZ": "UTC"}
    order = InfoOrder(place="")
    context = JobContext(order, SystemClock(), Cancel(), environ, directories.find(environ), lambda _: None)
    return pick_versions([], [_text(data)], context)


def _lock(data: bytes, path: Path) -> object:
    """Who holds a lock is told from what another process wrote into it."""
    holder, other = SetLock(str(path), "b1"), SetLock(str(path), "b1")
    holder.acquire(SystemClock())
    _write(Path(holder.path), data)
    try:
        other.acquire(SystemClock())
    finally:
        holder.close()
    return None


def _standing(data: bytes, _: Path) -> object:
    return [one.name for one in parse_record(data)]


def _volumes(data: bytes, _: Path) -> object:
    return parse_volumes(data)


def _host(data: bytes, path: Path) -> object:
    for name in ("host.id", "state.id", "machine.id"):
        _write(path / name, data)
    return host.read_host(str(path), "a" * 32)


def _made_with(data: bytes, _: Path) -> object:
    text = data.decode(errors="replace")
    snapshot = Snapshot(b"", b"", "", b"", "", 0, 0, True, b"", [], settings=text)
    told = sudden_drop.is_otherwise(text, "{}"), msgspec.json.encode(snapshots._settings(text))
    return sparing.omission_of(snapshot), into_database.described(text), *told


def _of_text(parse: Callable[[str], object]) -> Callable[[bytes, Path], object]:
    return lambda data, _: parse(_text(data))


def _cluster(data: bytes, _: Path) -> object:
    known = Known(frozenset([b"owner", b'a"b']), frozenset([b"fast"]))
    return b"".join(without_known(iter([data[:40], data[40:]]), known))


def _archive(data: bytes, _: Path) -> object:
    head, whole = read_head(iter([data[:40], data[40:]]))
    return head, b"".join(whole)


def _loss(text: str) -> object:
    return noted([Note(1, bytes(16), bytes(16), LOST, text)])[bytes(16)].loss


def _verified(data: bytes, path: Path) -> object:
    """Its digest right, too."""
    (path / "verified").write_bytes(blake3(data).hexdigest().encode() + b"\n" + data)
    return verified_blocks.load(str(path / "verified"))


def _certificate(data: bytes, path: Path) -> object:
    (path / "c.pem").write_bytes(data)
    return certificates.load(str(path / "c.pem")).not_valid_after_utc


def _address(data: bytes, _: Path) -> object:
    """As it is given, and as it comes from a file."""
    text = _text(data)
    try:
        notice_rules.check_url(text, allow_plaintext=True)
    finally:
        notice_rules.check_url(text, allow_plaintext=False, is_secret=True)
    return masked(text)


def _retry_after(text: str) -> object:
    return asked_seconds(text, datetime(2026, 11, 21, tzinfo=UTC))


def _name(text: str) -> object:
    return names.check_set_name(text), names.split_host(text), names.default_set_name(text, [b"/a"])


ROWS = (
    Decoder("repository.json", _twins, (_IDENTITY,), "json"),
    Decoder("once.json", _once, (_ONCE,), "json"),
    Decoder("marker of a purge", _purge_marker, (_MARKER,), "json"),
    Decoder("key of evidence", _evidence_key, (b"0123456789abcdef" * 4 + b"\n",), "text"),
    Decoder("repository.json of bare blocks", _bare, (_IDENTITY,), "json"),
    Decoder("backupd.yaml", _settings_file, (_SETTINGS, b"", b"queue: {jobs_at_once: 2}\n"), "text"),
    Decoder("sets and destinations", _definitions, (_DEFINITIONS,), "text"),
    Decoder("policy.yaml", _policy, (_POLICY, b"", b"sets: {heal: {lock: false}}\n"), "text"),
    Decoder(
        "one setting changed",
        _edit,
        (b"queue.jobs_at_once\n4\n" + _SETTINGS, b"access.operator\n[anna]\naccess: {admin: [root]} # x\n",
         b"time_zone\nUTC\n"),
        "text",
    ),
    Decoder("certificate of a contact", _certificate, (_CERTIFICATE,), "text"),
    Decoder("address of a notice", _address, (b"https://example.org:8443/hook?a=b", b"ntfys://host/topic"), "text"),
    Decoder("Retry-After", _of_text(_retry_after), (b"120", b"Sat, 21 Nov 2026 21:07:10 +0000", b"x"), "text"),
    Decoder("time of a digest", _of_text(minutes_of), (b"07:00", b"23:59"), "text"),
    Decoder("key file", _key, (_KEY, b"A" * 44), "text"),
    Decoder("filter file", _rules, (_RULES,), "text"),
    Decoder(".gitignore", _gitignore, (_GITIGNORE,), "text"),
    Decoder("regular expression", _expression, (rb"^(core|old)\.\d{2,5}$", rb"[^a-c\w]+(?i:x)*?\x{41}", b"(("), "text"),
    Decoder("pattern", _glob, (b"*.tmp", b"/home/**/[!a-c]*.txt", b"a\\*?/**", b"[]a-]"), "text"),
    Decoder("filters and settings of a snapshot", _made_with, (_MADE_WITH,), "json"),
    Decoder("size", _of_text(sizes.parse_size), (b"200G", b"1.5 MiB", b"10GB"), "text"),
    Decoder("rate", _of_text(sizes.parse_rate), (b"20 Mbit/s", b"1.5 MiB/s", b"512 kbit"), "text"),
    Decoder("duration", _of_text(sizes.parse_duration), (b"1h30m", b"2w"), "text"),
    Decoder(
        "moment",
        _moment,
        (b"2026-11-20T14:00:01+01:00", b"2026-11-20", b"yesterday 14:00", b"3h ago", b"2026-10-25 02:30 CEST",
         b"2016-11-25T09-45-12"),
        "text",
    ),
    Decoder("snapshot by a word", _pick, (b"latest", b"s1111", b"2130-01-01"), "text"),
    Decoder("version by a word", _pick_version, (b"2", b"2130-01-01"), "text", gives_error=True),
    Decoder("note of a loss", _of_text(_loss), (b"12 34567 " + b"ab" * 16, b"much"), "text"),
    Decoder("share", _of_text(sizes.parse_share), (b"5%", b"0.1%", b"100"), "text"),
    Decoder("when blocks were verified", _verified, (_VERIFIED, b""), "text"),
    Decoder("name of a set", _of_text(_name), (b"documents", "Bücher:x".encode()), "text"),
    Decoder("text with secrets", _of_text(strike), (b"ftp://anna:secret@host/x " + b"A" * 44,), "text"),
    Decoder("holder of a lock", _lock, (b'{"pid": 1, "since_ns": 1795000000000000000}',), "json", gives_error=True),
    Decoder("snapshots of file systems that stand", _standing, (_STANDING, b"[]"), "json"),
    Decoder("rows of lvs", _volumes, (_VOLUMES,), "json"),
    Decoder("names in an answer of a server", _of_text(names_of), (b"73686f70\n6f776e6572", b""), "text"),
    Decoder("text of pg_dumpall", _cluster, (_CLUSTER, b"\\connect x\n"), "text"),
    Decoder("head of an archive of mongodump", _archive, (_ARCHIVE, gzip.compress(_ARCHIVE))),
    Decoder("id of a host", _host, (b"0123456789abcdef" * 2 + b"\n",), "text"),
)  # fmt: skip
