"""The schema of the run log, as numbered steps.

In: nothing. Out: `MIGRATIONS`; step n brings a file from schema n to n + 1. A step that was released is never changed.
Neighbours: database applies them.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # The counts are kept beside the events so that a list of runs reads one row each. Never reused numbers
        # (AUTOINCREMENT): a follower of a deleted run must not slip into the next one.
        """
        CREATE TABLE runs (
            run INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id TEXT NOT NULL UNIQUE,
            created REAL NOT NULL,
            ended REAL,
            task TEXT NOT NULL,
            model TEXT NOT NULL,
            status TEXT NOT NULL,
            answer TEXT NOT NULL DEFAULT '',
            workers INTEGER NOT NULL DEFAULT 0,
            steps INTEGER NOT NULL DEFAULT 0,
            tokens INTEGER NOT NULL DEFAULT 0,
            events INTEGER NOT NULL DEFAULT 0
        )
        """,
        # Without rowid, a run's events lie side by side in the file, however many runs were written at once.
        """
        CREATE TABLE events (
            run INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            time REAL NOT NULL,
            kind TEXT NOT NULL,
            fields TEXT NOT NULL,
            PRIMARY KEY (run, seq)
        ) WITHOUT ROWID
        """,
    ),
    (
        "ALTER TABLE runs ADD COLUMN layout TEXT NOT NULL DEFAULT ''",
        # Where a fork left its parent: the parent's id and the number of the last event that both have.
        "ALTER TABLE runs ADD COLUMN parent TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN parent_seq INTEGER NOT NULL DEFAULT 0",
    ),
)
