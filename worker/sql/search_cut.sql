-- Up to which transactions the next segment reaches: the snapshot of this transaction, cut where
-- the rows become more than :limit. Rows of one transaction are not parted.
WITH b AS (
    SELECT coalesce(pg_snapshot_xmax(s.sealed), '0') AS since, pg_current_snapshot() AS now
    FROM memingest.searches s WHERE s."table" = :key
),
cut AS (
    SELECT (SELECT search_xid FROM :table WHERE search_xid >= b.since
        ORDER BY search_xid OFFSET :limit LIMIT 1) AS at,
        (SELECT min(search_xid) FROM :table WHERE search_xid >= b.since) AS first
    FROM b
),
last AS (
    SELECT CASE WHEN at > first THEN at
        ELSE (SELECT min(search_xid) FROM :table WHERE search_xid > at) END AS at
    FROM cut
)
SELECT CASE WHEN last.at IS NULL OR last.at >= pg_snapshot_xmax(b.now) THEN b.now
    ELSE format('%s:%s:%s', least(pg_snapshot_xmin(b.now), last.at), last.at,
        (SELECT string_agg(x::text, ',' ORDER BY x) FROM pg_snapshot_xip(b.now) x
            WHERE x < last.at))::pg_snapshot END
FROM b, last
