-- What the search by nearness keeps beside the worker's own tables; made where a stream wants it.
-- Each statement ends with a semicolon at the end of a line, and creates one thing.

-- One row per searched column of a table. Rows of the table whose search_xid "sealed" sees are in
-- live segments; the others are read from the table itself. So a search that reads this row and the
-- rows of a table in one snapshot misses nothing, whatever commits meanwhile.
CREATE TABLE IF NOT EXISTS memingest.searches (
    "table"      text        PRIMARY KEY,    -- quoted, with its schema; and "/name", if it has one
    sealed       pg_snapshot,                -- null: nothing is in segments yet
    adopted      boolean     NOT NULL,       -- and so are rows without a search_xid
    next_segment integer     NOT NULL DEFAULT 1,
    system_id    bigint      NOT NULL,       -- of the cluster whose transactions these are
    live         boolean     NOT NULL DEFAULT true -- of a table's columns the one that is searched
);

ALTER TABLE memingest.searches ADD COLUMN IF NOT EXISTS live boolean NOT NULL DEFAULT true;

-- One row per segment: a partition of the table's segments, which never changes, with an index.
-- It holds the rows that upto sees and after does not; or, of those without search_xid, the keys
-- behind after_key up to upto_key. Null: from the beginning, to the end. Searches read live ones,
-- dead ones are dropped after a minute. The rows of a big tenant, a frequent value of the first
-- filter, are in it a second time, with a graph of their own: such a segment is partitioned itself,
-- into T_segment_N_0 with all rows, and _1 and on with a tenant's.
CREATE TABLE IF NOT EXISTS memingest.segments (
    "table"    text        NOT NULL REFERENCES memingest.searches ON DELETE CASCADE,
    segment    integer     NOT NULL,
    parts      integer     NOT NULL DEFAULT 0, -- partitions that it has itself
    tenants    jsonb       NOT NULL DEFAULT '{}', -- {value: part}, from 1 on
    logged     boolean     NOT NULL DEFAULT true, -- else it is empty after a crash
    state      text        NOT NULL CHECK (state IN ('built', 'live', 'dead')),
    after      pg_snapshot,
    upto       pg_snapshot,
    after_key  text[],
    upto_key   text[],
    rows       bigint      NOT NULL,
    stale      bigint      NOT NULL DEFAULT 0, -- have changed or gone, as last counted
    common     jsonb       NOT NULL DEFAULT '{}', -- {column: {value: rows}}, from 1,000 on
    built_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    build_time interval    NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- of state
    PRIMARY KEY ("table", segment)
);

ALTER TABLE memingest.segments ADD COLUMN IF NOT EXISTS parts integer NOT NULL DEFAULT 0;

ALTER TABLE memingest.segments ADD COLUMN IF NOT EXISTS tenants jsonb NOT NULL DEFAULT '{}';

ALTER TABLE memingest.segments ADD COLUMN IF NOT EXISTS logged boolean NOT NULL DEFAULT true;
