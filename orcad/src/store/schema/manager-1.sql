-- What the manager knows. A document (doc) is the record as JSON; the other columns are what people and queries look for.
-- Times are milliseconds since 1970 UTC. There are no references between tables: which rows belong together is the
-- manager core's business, and the store holds exactly what folding its changes gives.

CREATE TABLE cluster (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    id       TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    doc      TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT;

CREATE TABLE node (
    id       TEXT    PRIMARY KEY,
    name     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    state    TEXT    NOT NULL,
    doc      TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    id       TEXT    PRIMARY KEY,
    name     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    wanted   TEXT    NOT NULL,
    doc      TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;

CREATE TABLE placement (
    id       TEXT    PRIMARY KEY,
    task     TEXT    NOT NULL,
    node     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    state    TEXT    NOT NULL,
    doc      TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;

CREATE TABLE request (
    key TEXT    PRIMARY KEY,
    at  INTEGER NOT NULL,
    doc TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;

-- History: append-only, read by SQL alone.

CREATE TABLE event (
    revision   INTEGER NOT NULL,
    idx        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    task       TEXT,
    task_name  TEXT,
    node       TEXT,
    node_name  TEXT,
    state      TEXT,
    reason     TEXT,
    message    TEXT    NOT NULL,
    by         TEXT,
    request_id TEXT,
    PRIMARY KEY (revision, idx)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_of_task ON event (task, revision, idx) WHERE task IS NOT NULL;
CREATE INDEX event_of_node ON event (node, revision, idx) WHERE node IS NOT NULL;

CREATE TABLE audit (
    n          INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    peer       TEXT    NOT NULL CHECK (json_valid(peer)),
    method     TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    outcome    TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_at ON audit (at);
