-- The values of the first filter that earn a graph of their own: those that more rows have than are
-- compared one by one, in a segment where they are not all alone.
SELECT v FROM (
    SELECT v::text, count(*) AS n, sum(count(*)) OVER () AS total FROM (:rows) r (v) GROUP BY v
) counted
WHERE v IS NOT NULL AND n > 5000 AND n >= total / 20 AND n < total
ORDER BY n DESC
LIMIT 4
