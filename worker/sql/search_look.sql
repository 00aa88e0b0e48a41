-- Where a table's search stands. Null where it is not: no row.
WITH b AS (
    SELECT s.*, coalesce(pg_snapshot_xmax(s.sealed), '0') AS since,
        ARRAY(SELECT pg_snapshot_xip(s.sealed)) AS open
    FROM memingest.searches s WHERE s."table" = :key
)
SELECT b.sealed, b.adopted, b.next_segment,
    b.system_id <> c.system_identifier
        AND (b.sealed IS NULL OR pg_snapshot_xmax(pg_current_snapshot()) < b.since) AS foreign,
    (SELECT count(*) FROM :table WHERE search_xid >= b.since)
        + (SELECT count(*) FROM :table WHERE search_xid = ANY (b.open)) AS tail,
    coalesce((SELECT extract(epoch FROM now() - updated_at) FROM :table
        WHERE search_xid >= b.since ORDER BY search_xid LIMIT 1), 0)::bigint AS age,
    coalesce((SELECT x.indisvalid FROM pg_catalog.pg_index x
        WHERE x.indexrelid = to_regclass(:index_literal)), false) AS indexed
FROM b CROSS JOIN pg_control_system() c
