-- What a worker knows of its own placements. Disposable: the containers' labels and the manager rebuild it.

CREATE TABLE identity (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    cluster TEXT    NOT NULL,
    node    TEXT    NOT NULL,
    name    TEXT    NOT NULL
) STRICT;

CREATE TABLE generation (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    n     INTEGER NOT NULL
) STRICT;

CREATE TABLE placement (
    id   TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    name TEXT NOT NULL,
    doc  TEXT NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;

CREATE TABLE spec (
    digest TEXT PRIMARY KEY,
    doc    TEXT NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;
