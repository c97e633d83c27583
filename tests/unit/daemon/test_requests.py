"""What the catalog keeps of a job."""

from __future__ import annotations

from backupd.daemon.requests import JobRequest
from backupd.model.orders import CheckOrder, ReplicateOrder, RestoreOrder, Selection, SiblingPlace, Unlock
from backupd.model.store_access import StoreAccess


def test_the_catalog_keeps_no_secret_of_an_order() -> None:
    """Else who copies the catalog has the password, and the login of the store."""
    access, unlock = StoreAccess(credentials=b"hunter2", words=["--host-key", "x"]), Unlock(secret=b"hunter2")
    restore = RestoreOrder(place="s3://b/p", access=access, unlock=unlock, selection=Selection(), to=b"/t")
    siblings = [SiblingPlace(place="s3://b/q", access=access)]
    check = CheckOrder(place="s3://b/p", access=access, unlock=unlock, repair=True, siblings=siblings)
    copy = ReplicateOrder(place="s3://b/p", to="s3://b/q", access=access, to_access=access, unlock=unlock)
    for request in (
        JobRequest(kind="restore", restore=restore),
        JobRequest(kind="check", check=check),
        JobRequest(kind="replicate", replicate=copy),
    ):
        assert b"hunter2" not in request.stored()
        kept = JobRequest.restored(request.stored())
        order = kept.restore or kept.check or kept.replicate
        assert order is not None
        assert not isinstance(order, ReplicateOrder) or order.to_access == StoreAccess()
        assert (order.place, order.access, order.unlock) == ("s3://b/p", StoreAccess(), Unlock())
