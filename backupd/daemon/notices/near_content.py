"""What a notice says of a quota that is nearly used up, and of a certificate that ends; pure."""

from __future__ import annotations

from backupd.daemon.notices.content import MOST_TITLE, Place, as_name, minute_of, one_line, time_of
from backupd.model.notices import NearEnd, NearQuota, NoticeCommand, NoticeContent
from backupd.sizes import format_bytes, format_seconds

_MOST_NAMED = 5


def of_quota(near: NearQuota, identity: str, place: Place, now_ns: int) -> NoticeContent:
    """Of one, with what can be done: less kept, space freed, a larger quota."""
    name = as_name(near.set_name) if near.set_name is not None else None
    where = as_name(near.destination) if near.destination is not None else None
    percent = 100 * near.used_bytes // near.quota_bytes if near.quota_bytes else 100
    left = max(0, near.quota_bytes - near.used_bytes)
    quota, used = format_bytes(near.quota_bytes), format_bytes(near.used_bytes)
    whose = {"account": "the account", "destination": f"{where}", "set": f"{name} at {where}"}[near.of]
    raised = {
        "account": "bkctl config set account_quota SIZE",
        "destination": f"bkctl destination edit {where} --quota SIZE",
        "set": f"bkctl set edit {name} --quota SIZE",
    }[near.of]
    whom = _listed([as_name(one) for one in near.sets])
    return NoticeContent(
        id=identity,
        event="quota",
        host=place.host,
        time=time_of(now_ns, place),
        title=one_line(f"{name or where or 'account'}: {percent} % of the quota used ({place.host})", MOST_TITLE),
        summary=one_line(
            f"The quota of {whose} on {place.host} is nearly used up: {used} of {quota}, {format_bytes(left)} left. "
            f"Once it is reached, backups of {whom} end with an error until there is room again."
        ),
        set=name,
        facts={
            "quota": {
                "of": near.of,
                "destination": where,
                "quota_bytes": near.quota_bytes,
                "used_bytes": near.used_bytes,
                "left_bytes": left,
            }
        },
        commands=[
            NoticeCommand(purpose="See what is used", command=f"bkctl status {name or ''}".strip()),
            NoticeCommand(
                purpose="Keep fewer snapshots, see what that gives",
                command=f"bkctl free {name or as_name(near.sets[0])} --dry-run",
            ),
            NoticeCommand(purpose="Or make the quota larger", command=raised),
        ],
    )


def of_end(near: NearEnd, identity: str, place: Place, now_ns: int) -> NoticeContent:
    """Of one certificate, and what will no longer be done."""
    left_seconds = (near.ends_ns - now_ns) // 10**9
    left = f"{left_seconds // 86400} days" if left_seconds >= 2 * 86400 else format_seconds(left_seconds)
    when = minute_of(near.ends_ns, place)
    verb = f"ends in {left}, on {when}" if left_seconds > 0 else f"ended on {when}"
    title = "ends" if left_seconds > 0 else "has ended"
    contacts, servers = ([as_name(one) for one in names] for names in (near.contacts, near.servers))
    parts, commands = [], []
    if contacts:
        parts.append(f"Mail to {_listed(contacts)} is encrypted for it, and goes on being so.")
        commands.append(
            NoticeCommand(
                purpose="Put a new one in its place, or name another file",
                command=f"bkctl contact edit {contacts[0]} --certificate FILE",
            )
        )
    if servers:
        parts.append(f"{_listed(servers)} can't be reached once it has ended: it vouches for the server there.")
        commands.append(
            NoticeCommand(purpose="With the new one in its place, try it", command="bkctl doctor")
        )
    return NoticeContent(
        id=identity,
        event="expiry",
        host=place.host,
        time=time_of(now_ns, place),
        title=one_line(f"Certificate of {_listed(contacts or servers)} {title} ({place.host})", MOST_TITLE),
        summary=one_line(f"The certificate {near.path} on {place.host} {verb}. {' '.join(parts)}"),
        facts={"certificate": {"path": one_line(near.path), "ends": time_of(near.ends_ns, place)}},
        commands=commands,
    )


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    shown = [*names[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
