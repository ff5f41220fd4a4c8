-- Images that were evicted. names: all of them, with spaces between; why: what told against it; for_what: what took room.
CREATE TABLE gone (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    names TEXT NOT NULL,
    why TEXT NOT NULL,
    for_what TEXT NOT NULL
);

-- Images that were brought, or tried to, before a job asked. at_ms: when that began; bytes: what came over the link.
CREATE TABLE ahead (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest TEXT,
    platform TEXT NOT NULL,
    source TEXT NOT NULL,
    bytes INTEGER,
    took REAL NOT NULL,
    outcome TEXT NOT NULL,
    words TEXT NOT NULL
);

-- How jobs came to their images. at_ms: when it was settled. unproved: nobody had proved access to what was here.
CREATE TABLE job_image (
    id INTEGER PRIMARY KEY,
    job TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    digest TEXT,
    how TEXT NOT NULL,
    unproved INTEGER NOT NULL,
    waited REAL NOT NULL,
    bytes INTEGER
);
