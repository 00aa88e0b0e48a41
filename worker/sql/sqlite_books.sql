-- The worker's own tables in a SQLite file, as bookkeeping.sql has them in PostgreSQL. Times are
-- microseconds since 1970.
-- Each statement ends with a semicolon at the end of a line, and creates one thing.

-- Where each partition stands: the truth about what is durable. A batch commits only if next_offset
-- and owner_epoch are what its owner knows.
CREATE TABLE IF NOT EXISTS memingest_offsets (
    pipeline     TEXT    NOT NULL,           -- the consumer group
    topic        TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    topic_id     TEXT,                       -- Kafka's id of the topic; null: not known
    next_offset  INTEGER NOT NULL CHECK (next_offset >= 0),
    leader_epoch INTEGER,
    owner_epoch  INTEGER NOT NULL DEFAULT 0, -- raised by every claim
    owner        TEXT,
    updated_at   INTEGER NOT NULL,
    halted_at    INTEGER, -- next_offset at which a message last halted the partition, and why
    halted       TEXT,
    PRIMARY KEY (pipeline, topic, partition)
) WITHOUT ROWID;

-- One row per partition of each batch: [from_offset, to_offset) was handled.
CREATE TABLE IF NOT EXISTS memingest_batches (
    pipeline     TEXT    NOT NULL,
    topic        TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    from_offset  INTEGER NOT NULL,
    to_offset    INTEGER NOT NULL,
    rows         INTEGER NOT NULL,           -- events: merged + superseded + dead + skipped
    merged       INTEGER NOT NULL,
    superseded   INTEGER NOT NULL,
    dead         INTEGER NOT NULL,
    skipped      INTEGER NOT NULL,           -- records of another type than the stream's
    owner_epoch  INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    PRIMARY KEY (pipeline, topic, partition, from_offset),
    CHECK (to_offset > from_offset)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS memingest_batches_committed_at ON memingest_batches (committed_at);

-- Events that could not be stored.
CREATE TABLE IF NOT EXISTS memingest_dead_letters (
    id          INTEGER PRIMARY KEY,
    pipeline    TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    "offset"    INTEGER NOT NULL,
    stream      TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    detail      TEXT,
    key         BLOB,
    value       BLOB,
    headers     TEXT,    -- JSON
    event_time  INTEGER, -- the record's timestamp in Kafka
    created_at  INTEGER NOT NULL,
    replayed_at INTEGER
);

CREATE INDEX IF NOT EXISTS memingest_dead_letters_position
    ON memingest_dead_letters (pipeline, topic, partition, "offset");

-- Offsets that an operator declared lost.
CREATE TABLE IF NOT EXISTS memingest_gaps (
    pipeline    TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    from_offset INTEGER NOT NULL,
    to_offset   INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    declared_by TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (pipeline, topic, partition, from_offset, created_at),
    CHECK (to_offset >= from_offset)
) WITHOUT ROWID;

-- Models that made vectors of texts, and what each first made of a fixed text: another answer to it
-- is another model's.
CREATE TABLE IF NOT EXISTS memingest_embed_models (
    id         INTEGER PRIMARY KEY,
    model      TEXT    NOT NULL UNIQUE,
    canary     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
);

-- The vectors themselves, by the SHA-256 of prefix and text, so that each is paid for once.
CREATE TABLE IF NOT EXISTS memingest_embed_cache (
    model_id INTEGER NOT NULL,
    digest   BLOB    NOT NULL,
    vector   BLOB    NOT NULL,
    used_at  INTEGER NOT NULL,
    PRIMARY KEY (model_id, digest)
);

CREATE INDEX IF NOT EXISTS memingest_embed_cache_used_at
    ON memingest_embed_cache (model_id, used_at);
