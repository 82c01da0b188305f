-- The log of revisions: everything else is derived from it at start.

-- The types whose objects are in the log, by a short number.
CREATE TABLE collections (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- One row per revision. Appended only; a row goes when it was replaced or deleted at or before the compacted revision.
-- The present is every row that is not a deletion and that no row names as `previous`.
CREATE TABLE log (
    revision   INTEGER PRIMARY KEY,
    -- Milliseconds since 1970.
    at         INTEGER NOT NULL,
    -- Bytes of bodies ever written, this one included.
    written    INTEGER NOT NULL,
    -- 0 created, 1 updated, 2 deleted.
    kind       INTEGER NOT NULL,
    -- The revision of the state that this one replaced.
    previous   INTEGER,
    collection INTEGER NOT NULL,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    -- A checksum of the row, then what is known of the object beside its bytes.
    facts      BLOB NOT NULL,
    -- The JSON; absent for a deletion, whose last state is `previous`.
    body       BLOB
) STRICT;

-- One row: the oldest revision whose state can be read.
CREATE TABLE bounds (
    id        INTEGER PRIMARY KEY CHECK (id = 0),
    compacted INTEGER NOT NULL
) STRICT;
INSERT INTO bounds (id, compacted) VALUES (0, 0);
