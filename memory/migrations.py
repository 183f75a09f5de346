"""The schema of the library, as numbered steps.

In: nothing. Out: `MIGRATIONS`; step n brings a file from schema n to n + 1. A step that was released is never changed.
Neighbours: database applies them.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # One counter for the whole library: whoever keeps something derived asks which rows changed after its number.
        "CREATE TABLE counter (only_row INTEGER PRIMARY KEY CHECK (only_row = 0), value INTEGER NOT NULL)",
        "INSERT INTO counter VALUES (0, 0)",
        "CREATE TABLE contents (content_hash TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE entries (
            entry INTEGER PRIMARY KEY AUTOINCREMENT,
            action TEXT NOT NULL,
            author TEXT NOT NULL,
            time REAL NOT NULL,
            note TEXT NOT NULL,
            undone_by INTEGER REFERENCES entries (entry)
        )
        """,
        # What a list of rows needs is kept here as well as in the row's last version.
        """
        CREATE TABLE rows (
            row_id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            state TEXT NOT NULL,
            version INTEGER NOT NULL,
            changed INTEGER NOT NULL
        )
        """,
        "CREATE INDEX rows_by_change ON rows (changed)",
        # A name means one active tool, or one active concept: this is what a model's call is resolved by.
        "CREATE UNIQUE INDEX active_names ON rows (kind, name) WHERE state = 'active'",
        """
        CREATE TABLE versions (
            row_id TEXT NOT NULL REFERENCES rows (row_id),
            version INTEGER NOT NULL,
            content_hash TEXT NOT NULL REFERENCES contents (content_hash),
            state TEXT NOT NULL,
            tags TEXT NOT NULL,
            provenance TEXT NOT NULL,
            author TEXT NOT NULL,
            time REAL NOT NULL,
            action TEXT NOT NULL,
            note TEXT NOT NULL,
            entry INTEGER NOT NULL REFERENCES entries (entry),
            PRIMARY KEY (row_id, version)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX versions_by_entry ON versions (entry)",
        "CREATE INDEX versions_by_content ON versions (content_hash)",
        """
        CREATE TABLE uses (
            run_id TEXT NOT NULL,
            row_id TEXT NOT NULL REFERENCES rows (row_id),
            content_hash TEXT NOT NULL,
            time REAL NOT NULL,
            used INTEGER NOT NULL,
            solved INTEGER,
            why TEXT NOT NULL,
            PRIMARY KEY (run_id, row_id, content_hash)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX uses_by_row ON uses (row_id)",
        """
        CREATE TABLE not_duplicates (
            first_id TEXT NOT NULL,
            second_id TEXT NOT NULL,
            author TEXT NOT NULL,
            time REAL NOT NULL,
            PRIMARY KEY (first_id, second_id)
        ) WITHOUT ROWID
        """,
        # The cache of the embedder. Derived, but dear: a vector costs milliseconds, a row of this table microseconds.
        """
        CREATE TABLE vectors (
            vector INTEGER PRIMARY KEY AUTOINCREMENT,
            fingerprint TEXT NOT NULL,
            text_hash TEXT NOT NULL,
            numbers BLOB NOT NULL,
            UNIQUE (fingerprint, text_hash)
        )
        """,
    ),
    (
        # Each case was tried with the row in the prompt and without it; tried again, the later result counts.
        """
        CREATE TABLE trials (
            row_id TEXT NOT NULL REFERENCES rows (row_id),
            content_hash TEXT NOT NULL,
            case_id TEXT NOT NULL,
            time REAL NOT NULL,
            score_with REAL NOT NULL,
            score_without REAL NOT NULL,
            PRIMARY KEY (row_id, content_hash, case_id)
        ) WITHOUT ROWID
        """,
    ),
)
