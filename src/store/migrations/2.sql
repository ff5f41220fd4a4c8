-- Images that were seen in the engine, by its own ID: since when they are on this host without a break.
CREATE TABLE sighting (
    id INTEGER PRIMARY KEY,
    engine_id TEXT NOT NULL UNIQUE,
    first_ms INTEGER NOT NULL
);

-- The layers of images of which no job ever had a content, from the bottom up.
CREATE TABLE sighting_layer (
    sighting INTEGER NOT NULL,
    position INTEGER NOT NULL,
    layer INTEGER NOT NULL,
    PRIMARY KEY (sighting, position)
) WITHOUT ROWID;

-- Kept volumes: when a job mounted them last, or when they were first seen.
CREATE TABLE volume (name TEXT PRIMARY KEY, last_use_ms INTEGER NOT NULL) WITHOUT ROWID;

-- Announcements that an image will be wanted: at at_ms, and grace seconds after that.
CREATE TABLE claim (
    name TEXT PRIMARY KEY,
    made_ms INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    grace REAL NOT NULL
) WITHOUT ROWID;

-- In which container's numbering the owner's pid is; 0: not known.
ALTER TABLE lease ADD COLUMN space INTEGER NOT NULL DEFAULT 0;
ALTER TABLE removal ADD COLUMN space INTEGER NOT NULL DEFAULT 0;
