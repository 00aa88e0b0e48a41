-- The worker's own tables. Run as often as you like: what exists is left alone.
-- Each statement ends with a semicolon at the end of a line, and creates one thing; or it adds a
-- column that a table of an older version lacks.

CREATE SCHEMA IF NOT EXISTS memingest;

-- Where each partition stands. The row is the truth about what is durable, and the lock that fences
-- a worker which lost the partition: a batch commits only if next_offset and owner_epoch are what
-- its owner knows.
CREATE TABLE IF NOT EXISTS memingest.offsets (
    pipeline     text        NOT NULL,           -- the consumer group
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    topic_id     uuid,                           -- Kafka's id of the topic; null: not known
    next_offset  bigint      NOT NULL CHECK (next_offset >= 0),
    leader_epoch integer,
    owner_epoch  bigint      NOT NULL DEFAULT 0, -- raised by every claim and operator's command
    owner        text,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    -- next_offset at which a message last halted the partition, and why; void once that moves on
    halted_at    bigint,
    halted       text,
    PRIMARY KEY (pipeline, topic, partition)
) WITH (fillfactor = 50);

ALTER TABLE memingest.offsets ADD COLUMN IF NOT EXISTS halted_at bigint;

ALTER TABLE memingest.offsets ADD COLUMN IF NOT EXISTS halted text;

-- One row per partition of each batch: [from_offset, to_offset) was handled. With the rows of
-- memingest.gaps these ranges tile.
CREATE TABLE IF NOT EXISTS memingest.batches (
    pipeline     text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    from_offset  bigint      NOT NULL,
    to_offset    bigint      NOT NULL,
    rows         bigint      NOT NULL,           -- events: merged + superseded + dead + skipped
    merged       bigint      NOT NULL,
    superseded   bigint      NOT NULL,
    dead         bigint      NOT NULL,
    owner_epoch  bigint      NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    skipped      bigint      NOT NULL DEFAULT 0, -- records of another type than the stream's
    embed        jsonb,                          -- what its vectors cost, if any were made
    PRIMARY KEY (pipeline, topic, partition, from_offset),
    CHECK (to_offset > from_offset)
);

ALTER TABLE memingest.batches ADD COLUMN IF NOT EXISTS skipped bigint NOT NULL DEFAULT 0;

ALTER TABLE memingest.batches ADD COLUMN IF NOT EXISTS embed jsonb;

CREATE INDEX IF NOT EXISTS batches_committed_at ON memingest.batches (committed_at);

-- Events that could not be stored. The index is not unique on purpose: a range that an operator
-- rewinds, or the same offset of a topic that was created again, may be refused a second time, and
-- for another reason; neither may stop the batch or overwrite the first refusal. That no refusal is
-- written twice by accident is the swap's work on memingest.offsets.
CREATE TABLE IF NOT EXISTS memingest.dead_letters (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    "offset"    bigint      NOT NULL,
    stream      text        NOT NULL,
    reason      text        NOT NULL,
    detail      text,
    key         bytea,
    value       bytea,
    headers     jsonb,
    event_time  timestamptz,                     -- the record's timestamp in Kafka
    created_at  timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz
);

CREATE INDEX IF NOT EXISTS dead_letters_position
    ON memingest.dead_letters (pipeline, topic, partition, "offset");

-- Offsets that an operator declared lost. from_offset = to_offset: nobody can know how much it was
-- (a topic that was deleted). The time is part of the key because a topic that is created again
-- counts from zero again.
CREATE TABLE IF NOT EXISTS memingest.gaps (
    pipeline    text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL,
    reason      text        NOT NULL,
    declared_by text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, topic, partition, from_offset, created_at),
    CHECK (to_offset >= from_offset)
);
