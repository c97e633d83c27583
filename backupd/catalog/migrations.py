"""The steps from one version of the catalog to the next; a step, once released, never changes."""

from __future__ import annotations

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE destinations (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, text TEXT NOT NULL, file TEXT, created_ns INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE sets (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, text TEXT NOT NULL, file TEXT, created_ns INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE repositories (
        set_id TEXT NOT NULL, destination_id TEXT NOT NULL, repository TEXT NOT NULL, stored_set_id TEXT NOT NULL,
        PRIMARY KEY (set_id, destination_id)
    ) STRICT;
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, set_id TEXT, set_name TEXT,
        orders BLOB NOT NULL, caller_uid INTEGER NOT NULL, created_ns INTEGER NOT NULL, started_ns INTEGER,
        finished_ns INTEGER, exit_code INTEGER, result TEXT, error TEXT, warnings TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    CREATE INDEX jobs_by_time ON jobs (created_ns);
    CREATE INDEX jobs_by_set ON jobs (set_id, created_ns);
    CREATE TABLE runs (
        job_id TEXT NOT NULL, set_id TEXT NOT NULL, destination_id TEXT NOT NULL, destination_name TEXT NOT NULL,
        kind TEXT NOT NULL, state TEXT NOT NULL, snapshot TEXT, exit_code INTEGER NOT NULL,
        started_ns INTEGER NOT NULL, finished_ns INTEGER NOT NULL, facts TEXT NOT NULL,
        PRIMARY KEY (job_id, destination_id)
    ) STRICT;
    CREATE INDEX runs_by_set ON runs (set_id, destination_id, finished_ns);
    CREATE TABLE log (
        job_id TEXT NOT NULL, n INTEGER NOT NULL, time_ns INTEGER NOT NULL, severity TEXT NOT NULL,
        step INTEGER NOT NULL, message TEXT NOT NULL, path BLOB, PRIMARY KEY (job_id, n)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    """,
    """
    CREATE TABLE newest_runs (
        job_id TEXT NOT NULL, set_id TEXT NOT NULL, destination_id TEXT NOT NULL, destination_name TEXT NOT NULL,
        kind TEXT NOT NULL, state TEXT NOT NULL, snapshot TEXT, exit_code INTEGER NOT NULL,
        started_ns INTEGER NOT NULL, finished_ns INTEGER NOT NULL, facts TEXT NOT NULL,
        PRIMARY KEY (set_id, destination_id, kind, exit_code)
    ) STRICT;
    INSERT INTO newest_runs SELECT job_id, set_id, destination_id, destination_name, kind, state, snapshot, exit_code,
        started_ns, finished_ns, facts
        FROM (SELECT *, MAX(finished_ns) FROM runs GROUP BY set_id, destination_id, kind, exit_code);
    """,
    """
    ALTER TABLE jobs ADD COLUMN schedule TEXT;
    CREATE TABLE schedules_handled (
        set_id TEXT NOT NULL, schedule TEXT NOT NULL, rule TEXT NOT NULL, handled_ns INTEGER NOT NULL,
        PRIMARY KEY (set_id, schedule)
    ) STRICT;
    """,
    """
    CREATE TABLE sizes_by_day (
        set_id TEXT NOT NULL, destination_id TEXT NOT NULL, day INTEGER NOT NULL, time_ns INTEGER NOT NULL,
        held_bytes INTEGER NOT NULL, free_bytes INTEGER, PRIMARY KEY (set_id, destination_id, day)
    ) STRICT, WITHOUT ROWID;
    INSERT OR IGNORE INTO sizes_by_day
        SELECT set_id, destination_id, finished_ns / 86400000000000, finished_ns,
            json_extract(facts, '$.destinations[0].held_bytes'), json_extract(facts, '$.destinations[0].free_bytes')
        FROM runs WHERE kind = 'backup' AND json_valid(facts)
            AND json_type(facts, '$.destinations[0].held_bytes') = 'integer'
            AND COALESCE(json_type(facts, '$.destinations[0].free_bytes'), 'null') IN ('integer', 'null')
        ORDER BY finished_ns DESC;
    CREATE TABLE old_snapshots (
        snapshot TEXT NOT NULL, destination_id TEXT NOT NULL, set_id TEXT NOT NULL,
        PRIMARY KEY (snapshot, destination_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX jobs_under_way ON jobs (created_ns) WHERE state IN ('paused', 'queued', 'running');
    """,
    """
    CREATE TABLE notices (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, text TEXT NOT NULL, file TEXT, created_ns INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE contacts (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, text TEXT NOT NULL, file TEXT, created_ns INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE untold (job_id TEXT PRIMARY KEY) STRICT;
    CREATE TRIGGER ended_is_untold BEFORE INSERT ON jobs WHEN NEW.state NOT IN ('queued', 'running', 'paused')
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = NEW.id AND state NOT IN ('queued', 'running', 'paused'))
        BEGIN INSERT OR IGNORE INTO untold (job_id) VALUES (NEW.id); END;
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, recipient TEXT NOT NULL, notice_id TEXT NOT NULL,
        job_id TEXT, kind TEXT NOT NULL, content TEXT NOT NULL, message_id TEXT NOT NULL, state TEXT NOT NULL,
        created_ns INTEGER NOT NULL, due_ns INTEGER NOT NULL, ended_ns INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
        detail TEXT NOT NULL DEFAULT '', UNIQUE (event, recipient)
    ) STRICT;
    CREATE INDEX outbox_by_state ON outbox (state, due_ns);
    CREATE TABLE overdue (
        set_id TEXT NOT NULL, destination_id TEXT NOT NULL, since_ns INTEGER NOT NULL, told_ns INTEGER NOT NULL,
        PRIMARY KEY (set_id, destination_id)
    ) STRICT;
    """,
    """
    ALTER TABLE outbox ADD COLUMN is_sealed INTEGER NOT NULL DEFAULT 0;
    """,
)
"""Step i brings version i to version i + 1 (`PRAGMA user_version`)."""
