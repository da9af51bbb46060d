-- Who may come in besides nodes: join tokens (their secrets' digests), and certificates of people and programs.

CREATE TABLE token (
    id         TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    doc        TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;
