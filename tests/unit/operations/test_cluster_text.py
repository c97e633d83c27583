"""What is left out of a text of `pg_dumpall`, whatever stands in its names and comments."""

from __future__ import annotations

from itertools import zip_longest

import pytest

from backupd.operations.streams.cluster_text import Known, without_known

KNOWN = Known(frozenset([b"owner", b'a"; b\nc', b"post gres"]), frozenset([b"pg_default", b"fast"]))
HEAD = b"""--
-- Roles
--
\\restrict x;y'z"
SET standard_conforming_strings = on;
"""
DROPPED = [
    b"CREATE ROLE owner;",
    b"ALTER ROLE owner WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:x';",
    b"ALTER ROLE owner SET search_path TO 'a;b', 'c';",
    b"COMMENT ON ROLE owner IS 'it''s; -- no comment\n\\connect shop\n';",
    b"COMMENT ON ROLE owner IS E'\\\\it\\';\n\\connect shop\n';",
    b"SECURITY LABEL FOR dummy ON ROLE owner IS 'x';",
    b'CREATE ROLE "a""; b\nc";',
    b'DROP ROLE IF EXISTS "post gres";',
    b"CREATE TABLESPACE fast OWNER owner LOCATION '/x';",
]
KEPT = [
    b"CREATE ROLE owner2;",
    b'CREATE ROLE "Owner";',
    b"ALTER ROLE owner IN DATABASE shop SET search_path TO 'a';",
    b"COMMENT ON ROLE boss IS 'CREATE ROLE owner;\n\\connect shop\nCREATE ROLE owner;\n';",
    b"COMMENT ON ROLE boss IS E'it\\'s\n\\connect shop\n';",
    b"GRANT owner TO boss GRANTED BY owner;",
    b"CREATE TABLESPACE slow OWNER owner LOCATION '/x';",
]
REST = b"\n\\connect template1\n\nCREATE ROLE owner;\nit's not looked at\n\\connect shop\n"


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_what_is_known_is_left_out_before_the_first_database_alone(step: int) -> None:
    pairs = zip_longest(DROPPED, KEPT, fillvalue=b"")
    whole = HEAD + b"".join(dropped + kept for dropped, kept in pairs) + REST
    found = b"".join(without_known((whole[at : at + step] for at in range(0, len(whole), step)), KNOWN))
    assert found == HEAD + b"".join(KEPT) + REST


def test_roles_alone_and_a_text_without_an_end_are_kept() -> None:
    for tail in (b"", b"SET x = 'never closed; CREATE ROLE owner;\n\\connect y\n"):
        assert b"".join(without_known(iter([b"CREATE ROLE owner;\n" + tail]), KNOWN)) == b"\n" + tail
