SELECT :row FROM :table t
WHERE t.:vector IS NOT NULL AND t.search_xid >= pg_snapshot_xmax(':after')
    AND t.search_xid < pg_snapshot_xmax(':upto')
    AND t.search_xid <> ALL (ARRAY(SELECT pg_snapshot_xip(':upto')))
UNION ALL
SELECT :row FROM :table t
WHERE t.:vector IS NOT NULL AND t.search_xid = ANY (ARRAY(SELECT pg_snapshot_xip(':after')))
    AND t.search_xid <> ALL (ARRAY(SELECT pg_snapshot_xip(':upto')))
