"""Records rot, and are repaired, at any moment: nothing is lost that was not lost by what rotted."""

from __future__ import annotations

from tests.model.repairer import repair, revoke
from tests.model.store import BAD
from tests.model import test_protocol
from tests.model.test_protocol import OFTEN, SELDOM

RECORDS = ("gc/", "damage/", "sessions/")


class Events(test_protocol.Events):
    """What happens besides."""

    def rot_record(self, which: int) -> None:
        """A record's bytes are lost."""
        kinds = [kind for kind in RECORDS if self.world.store.below(kind)]
        if kinds:
            names = sorted(self.world.store.below(kinds[which % len(kinds)]))
            self.world.store.rot(names[-1 - which // 3 % len(names)])

    def repair(self, which: int) -> None:
        """Somebody does without what can't be read."""
        self._start("repair", lambda: repair(self.world))

    def revoke(self, which: int) -> None:
        """Whoever is sure that a writer is gone ends its session, of which nothing can be read."""
        posts: dict[str, list[str]] = {}
        for name in self.world.store.below("sessions/"):
            posts.setdefault(name.split("/")[1], []).append(name)
        for session, names in posts.items():
            unread = [name for name in names if self.world.store.objects[name] is BAD]
            if unread == names and session not in {actor.session for actor in self.world.actors}:
                self._start("revoke", lambda names=names, session=session: revoke(session, names))
                return


EVENTS = OFTEN + SELDOM + ["rot_record"] * 3 + ["repair"] * 4 + ["revoke"]
