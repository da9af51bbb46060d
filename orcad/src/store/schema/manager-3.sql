-- Jobs: tasks that belong together. A job's record holds its last versions and its rollout.

CREATE TABLE job (
    id       TEXT    PRIMARY KEY,
    name     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    wanted   TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    doc      TEXT    NOT NULL CHECK (json_valid(doc))
) STRICT, WITHOUT ROWID;
