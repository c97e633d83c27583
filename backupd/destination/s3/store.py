"""S3 and every store that speaks like it: an object is one PutObject, so it is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any

import boto3
import botocore.session
import msgspec
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import create_loader

from backupd.destination.bounds import MAX_OBJECT_BYTES
from backupd.destination.contract import Buffers, Keeping, LockRule, ObjectInfo, Opening, Store, Traits, Uncovered
from backupd.destination.object_names import is_object_name
from backupd.destination.pacing import Pace
from backupd.destination.s3.answers import bounded
from backupd.destination.s3.body import JOINED_BYTES, body_of
from backupd.destination.s3.condition import Condition, proof_name
from backupd.destination.s3.errors import AGAIN_HINT, code_of, status_of, translated, translated_of_place
from backupd.destination.s3.holding import Holding
from backupd.destination.s3.holding_back import hold_back
from backupd.destination.s3.keeping import keeping_of
from backupd.destination.s3.options import S3Options, check_ca_file, check_encrypted, login_of
from backupd.destination.s3.proxied import send_through
from backupd.destination.s3.uncovering import Uncovering
from backupd.errors import DestinationUnreachableError, ObjectExistsError, ObjectMissingError
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from backupd.store_errors import NameTooLongError, StoreAnswerError

_KEY_BYTES = 1024
"""S3's own limit."""
_MOST_PAGES = 1_000_000
_MOST_BARREN_PAGES = 10_000
"""In a row, with nothing of ours: ten million objects of others."""
_CONNECTIONS = 16
_PROXY_HINT = "is it an S3 endpoint, without a proxy between that changes answers?"
_REGION = "us-east-1"
"""What servers of one's own call theirs, and where the others tell the right one."""


class TimeLimits(msgspec.Struct, frozen=True):
    """How long a server may say nothing."""

    connect_seconds: float = 20
    silence_seconds: float = 60


_LIMITS = TimeLimits()


def open_s3(url: PlaceUrl, opening: Opening) -> Store:
    """Open `s3://BUCKET/PREFIX?…`.

    Raises UsageError, StoreFolderError (no such bucket), StoreLoginError, DestinationError.
    """
    return S3Store(S3Options.parse(url), opening.place, opening.access, pace=opening.pace)


class S3Store:
    """A prefix of a bucket. Folders are parts of names alone, so that none is ever made or left."""

    def __init__(
        self,
        options: S3Options,
        shown: str,
        access: StoreAccess,
        limits: TimeLimits = _LIMITS,
        pace: Pace | None = None,
    ) -> None:
        """Asks the store once: whether the bucket is there, the login fits, the condition is proved."""
        self._options, self._shown = options, shown
        self._client: Any = _client(options, shown, access, limits, pace)
        self._holding = Holding(self._client, options.bucket, shown, options.lock)
        proof = proof_name(self._client.meta.endpoint_url, options.bucket)
        key = options.prefix + proof
        with translated_of_place(shown):
            found = self._client.list_objects_v2(Bucket=options.bucket, Prefix=key, MaxKeys=1)
        is_proved = any(item.get("Key") == key for item in found.get("Contents", ()))
        self._condition = Condition(self._create, self.delete, proof, is_proved=is_proved)

    @property
    def traits(self) -> Traits:
        """Create-if-absent as it was proved, here or before; at a new place that is by the first put."""
        return Traits(create_if_absent=self._condition.is_honoured, parallel_calls=True, reports_space=False)

    @property
    def shown(self) -> str:
        """The address."""
        return self._shown

    @property
    def may_leave_temporaries(self) -> bool:
        """Never: there are none."""
        return False

    def put(self, name: str, buffers: Buffers) -> None:
        """One request, under the condition that nothing has the name; where the store ignores that, look first."""
        if self._condition.find_out():
            self._create(name, buffers)
        elif self.size(name) is not None:
            raise ObjectExistsError(f"{self._what(name)}: it exists already")
        else:
            self._send(name, buffers)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """One ranged request."""
        if length == 0:
            if self.size(name) is None:
                raise ObjectMissingError(f"{self._what(name)}: it is not there")
            return b""
        is_ranged = bool(offset) or length is not None
        end = "" if length is None else offset + length - 1
        words = {"Range": f"bytes={offset}-{end}"} if is_ranged else {}
        with translated(self._what(name)):
            try:
                answer = self._client.get_object(Bucket=self._options.bucket, Key=self._key(name), **words)
            except ClientError as error:
                if code_of(error) == "InvalidRange" or status_of(error) == 416:
                    return b""
                raise
            with closing(answer["Body"]) as body:
                return self._read(name, answer, body, offset, length)

    def size(self, name: str) -> int | None:
        """By HeadObject."""
        with translated(self._what(name)):
            try:
                answer = self._client.head_object(Bucket=self._options.bucket, Key=self._key(name))
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise
            return int(answer["ContentLength"])

    def top_names(self) -> list[str]:
        """What comes before the first slash, and what has none."""
        start = self._options.prefix
        names: set[str] = set()
        barren = 0
        for page in self._pages(Prefix=start, Delimiter="/"):
            folders = (item.get("Prefix", "") for item in page.get("CommonPrefixes", ()))
            objects = (item.get("Key", "") for item in page.get("Contents", ()))
            known = len(names)
            names.update(str(key).removeprefix(start).strip("/") for key in (*folders, *objects))
            barren = self._barren(barren, is_fruitful=len(names) > known)
        return sorted(names - {""})

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """By pages of a thousand. Names that can't be of backupd are left out, and what lies in tmp/."""
        start = self._options.prefix
        barren = 0
        for page in self._pages(Prefix=start + prefix):
            is_fruitful = False
            for item in page.get("Contents", ()):
                name = str(item.get("Key", "")).removeprefix(start)
                if name.startswith(prefix) and is_object_name(name):
                    is_fruitful = True
                    yield ObjectInfo(name, int(item.get("Size", 0)))
            barren = self._barren(barren, is_fruitful=is_fruitful)

    def delete(self, name: str) -> None:
        """By DeleteObject, which finds nothing wrong with a name that is gone; where a bucket has versions, of all."""
        self._holding.delete(self._key(name), self._what(name))

    @property
    def lock_rule(self) -> LockRule | None:
        """As the address says."""
        return self._options.lock

    def locked_until(self, name: str) -> int | None:
        """By HeadObject."""
        return self._holding.locked_until(self._key(name), self._what(name))

    def lock(self, name: str, until_ns: int) -> None:
        """By PutObjectRetention."""
        self._holding.lock(self._key(name), until_ns, self._what(name))

    def free_bytes(self) -> int | None:
        """S3 has no word for it."""
        return None

    def keeping(self) -> Keeping:
        """By what the bucket's settings say."""
        return keeping_of(self._client, self._options.bucket)

    def uncover(self, *, is_dry: bool) -> Iterator[Uncovered]:
        """By the bucket's versions."""
        options = self._options
        found = Uncovering(self._client, options.bucket, options.prefix, self._shown)

        def words(name: str) -> dict[str, Any]:
            # A copy is sealed and kept by the bucket's default, unless it is said.
            return {**options.put_words(is_block="/blocks/" in name), **self._holding.words_of_copy(name)}

        return found.run(words, is_dry=is_dry)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """There are none: what is not sent whole is never there."""
        return 0

    def remove_empty_folders(self, name: str) -> None:
        """There are none."""

    def _create(self, name: str, buffers: Buffers) -> None:
        self._send(name, buffers, IfNoneMatch="*")

    def _send(self, name: str, buffers: Buffers, **words: str) -> None:
        held = self._holding.words(name, buffers)
        body, size_bytes = body_of(buffers)
        with translated(self._what(name)):
            self._client.put_object(
                Bucket=self._options.bucket,
                Key=self._key(name),
                Body=body,
                ContentLength=size_bytes,
                **self._options.put_words(is_block="/blocks/" in name),
                **held,
                **words,
            )

    def _read(self, name: str, answer: dict[str, Any], body: Any, offset: int, length: int | None) -> bytes:
        """The body, if it is what was asked for."""
        what = self._what(name)
        promised = int(answer.get("ContentLength", -1))
        # rclone's server answers with status 200, so this alone tells a part from the whole.
        part = str(answer.get("ContentRange") or "")
        if not part.startswith(f"bytes {offset}-") and (part or offset):
            raise StoreAnswerError(f"{what}: the store gives another part than was asked for", hint=_PROXY_HINT)
        if part and length is not None and promised > length:
            raise StoreAnswerError(f"{what}: the store gives more than was asked for", hint=_PROXY_HINT)
        # A server may give all of an object where its beginning was asked for.
        wanted = promised if length is None else min(promised, length)
        if not 0 <= wanted <= MAX_OBJECT_BYTES:
            raise StoreAnswerError(f"{what}: {wanted} bytes, as no object of backupd has", hint=_PROXY_HINT)
        data: bytes = body.read(wanted)
        if len(data) != wanted:
            raise DestinationUnreachableError(f"{what}: the connection broke off before the end", hint=AGAIN_HINT)
        return data

    def _pages(self, **words: str) -> Iterator[dict[str, Any]]:
        token = ""
        for _ in range(_MOST_PAGES):
            following = {"ContinuationToken": token} if token else {}
            with translated_of_place(self._shown):
                page: dict[str, Any] = self._client.list_objects_v2(Bucket=self._options.bucket, **words, **following)
            yield page
            if not page.get("IsTruncated"):
                return
            last, token = token, str(page.get("NextContinuationToken", ""))
            if token in ("", last):
                break
        raise self._endless()

    def _barren(self, count: int, *, is_fruitful: bool) -> int:
        """How many pages in a row gave nothing. Raises StoreAnswerError for too many."""
        if is_fruitful:
            return 0
        if count == _MOST_BARREN_PAGES:
            raise self._endless()
        return count + 1

    def _endless(self) -> StoreAnswerError:
        return StoreAnswerError(f"{self._shown}: the store's listing has no end", hint="is it an S3 endpoint?")

    def _what(self, name: str) -> str:
        return f"{name} at {self._shown}"

    def _key(self, name: str) -> str:
        key = self._options.prefix + name
        if len(key.encode()) > _KEY_BYTES:
            raise NameTooLongError(
                f"{self._what(name)}: prefix and name have over {_KEY_BYTES} bytes", hint="choose a shorter prefix"
            )
        return key


@cache
def _loader() -> Any:
    """boto3's descriptions of S3, whose reading takes longer than all else of opening."""
    return create_loader()


def _client(options: S3Options, shown: str, access: StoreAccess, limits: TimeLimits, pace: Pace | None) -> Any:
    """A client that tries once: retries are a wrapper's, and one made here would take its own object for another's."""
    login = login_of(access)
    ca_file = check_ca_file(access.ca_file)
    config = Config(
        connect_timeout=limits.connect_seconds,
        read_timeout=limits.silence_seconds,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        s3={"addressing_style": options.style},
        request_checksum_calculation=options.checksum,
        response_checksum_validation=options.checksum,
        # Not None: boto3 would look for one in the environment.
        proxies={},
    )
    with translated(shown):
        core = botocore.session.Session()
        core.register_component("data_loader", _loader())
        session = boto3.Session(profile_name=options.profile, botocore_session=core, **login)
        client = session.client(
            "s3",
            region_name=options.region or session.region_name or _REGION,
            endpoint_url=options.endpoint,
            verify=ca_file,
            config=config,
        )
    if access.proxy is not None:
        send_through(client, access.proxy, limits.connect_seconds)
    client.meta.events.register_last("before-call.s3", _send_small_at_once)
    client.meta.events.register_last("before-parameter-build.s3", _stay_in_the_region)
    sender = client._endpoint.http_session
    if pace is not None:
        hold_back(sender, pace)
    client.meta.events.register_last("before-send.s3", bounded(sender, limits.silence_seconds, pace))
    # Where the address names none, the user's settings may name an endpoint.
    check_encrypted(client.meta.endpoint_url, access)
    return client


def _send_small_at_once(params: dict[str, Any], **_: object) -> None:
    """Ask whether to go on before large bodies alone: the question costs the time of a round trip."""
    if int(params["headers"].get("Content-Length", 0)) <= JOINED_BYTES:
        params["headers"].pop("Expect", None)


def _stay_in_the_region(context: dict[str, Any], **_: object) -> None:
    """Tell boto3 that it followed a redirection already: it asks by HEAD where to, redirected again without end."""
    context.setdefault("s3_redirect", {})["redirected"] = True
