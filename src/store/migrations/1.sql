-- Times end in _ms: milliseconds since the epoch. Durations are seconds. Bytes are bytes. NULL: not known.

CREATE TABLE note (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE project (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);

-- rate and weight are what folded tags left: their summed rates and their number, both of rate_ms, halving together.
CREATE TABLE repository (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    rate REAL NOT NULL DEFAULT 0,
    weight REAL NOT NULL DEFAULT 0,
    rate_ms INTEGER NOT NULL DEFAULT 0,
    uses INTEGER NOT NULL DEFAULT 0,
    last_use_ms INTEGER
);

CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    platform TEXT NOT NULL,
    repository INTEGER NOT NULL,
    engine_id TEXT,
    first_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    UNIQUE (digest, platform)
);

CREATE TABLE layer (
    id INTEGER PRIMARY KEY,
    chain TEXT NOT NULL UNIQUE,
    unpacked INTEGER,
    compressed INTEGER,
    estimated INTEGER NOT NULL
);

CREATE TABLE content_layer (
    content INTEGER NOT NULL,
    position INTEGER NOT NULL,
    layer INTEGER NOT NULL,
    PRIMARY KEY (content, position)
) WITHOUT ROWID;

-- rate counts the tag's own uses; inherited is what it was given for its repository's sake. Both are of rate_ms.
CREATE TABLE tag (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    repository INTEGER,
    content INTEGER,
    rate REAL NOT NULL,
    inherited REAL NOT NULL,
    rate_ms INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    last_use_ms INTEGER NOT NULL
);
CREATE INDEX tag_repository ON tag (repository);

-- project 0: not known.
CREATE TABLE recent_use (
    tag INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    project INTEGER NOT NULL,
    source TEXT,
    content INTEGER,
    waited REAL NOT NULL,
    PRIMARY KEY (tag, at_ms, project)
) WITHOUT ROWID;

-- platform: the manifest's own; wanted: the one that was asked for.
CREATE TABLE link (
    repository INTEGER NOT NULL,
    digest TEXT NOT NULL,
    wanted TEXT NOT NULL,
    manifest TEXT NOT NULL,
    platform TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (repository, digest, wanted)
) WITHOUT ROWID;

-- through: the mirror's repository; empty: from upstream itself.
CREATE TABLE origin (
    repository INTEGER NOT NULL,
    digest TEXT NOT NULL,
    through TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (repository, digest, through)
) WITHOUT ROWID;

-- mirror: its registry; NULL: from upstream itself.
CREATE TABLE pull (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    registry TEXT NOT NULL,
    mirror TEXT,
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    compressed INTEGER,
    on_disk INTEGER,
    download REAL,
    extract REAL,
    total REAL NOT NULL,
    outcome TEXT NOT NULL
);

-- Clocks of the moment it was taken: wall, since boot, and which boot. expires: seconds after that.
CREATE TABLE lease (
    job TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    boot_ms INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (job, kind, name)
) WITHOUT ROWID;

-- names: all names of the image, with spaces between.
CREATE TABLE removal (
    names TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    boot_ms INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE pin (
    name TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    until_ms INTEGER,
    reason TEXT NOT NULL
) WITHOUT ROWID;

-- key: a keyed hash of who proved it; empty: anybody may read it.
CREATE TABLE proof (
    repository TEXT NOT NULL,
    key BLOB NOT NULL,
    digest TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (repository, key, digest)
) WITHOUT ROWID;

-- account: empty: anonymous.
CREATE TABLE back_off (
    registry TEXT NOT NULL,
    account TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (registry, account)
) WITHOUT ROWID;

CREATE TABLE engine (endpoint TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE job_time (
    id INTEGER PRIMARY KEY,
    job TEXT NOT NULL UNIQUE,
    at_ms INTEGER NOT NULL,
    project INTEGER NOT NULL,
    image TEXT NOT NULL,
    warm INTEGER NOT NULL,
    resolve REAL,
    download REAL,
    extract REAL,
    make REAL,
    services REAL,
    total REAL
);
