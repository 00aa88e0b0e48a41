-- The rows of a segment that have changed or gone since. One that lacks rows of its range is stale
-- as a whole: they were put back with the search_xid that they had (INSERT ... SELECT *).
UPDATE memingest.segments g
SET stale = CASE WHEN counted.there > g.rows - counted.changed THEN g.rows
    ELSE counted.changed END
FROM (
    SELECT (SELECT count(*) FROM (:rows) r) AS there,
        (SELECT count(*) FROM :segment s WHERE s.part = 0 AND NOT EXISTS (
            SELECT FROM :table t
            WHERE :t_is_s AND t.search_xid IS NOT DISTINCT FROM s.search_xid)) AS changed
) counted
WHERE g."table" = :key AND g.segment = :number
RETURNING g.stale
