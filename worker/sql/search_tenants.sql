-- The values of the first filter that earn a graph of their own, and each one's part: more rows
-- have them than are compared one by one, and too few to be soon met in the graph of all. At most
-- half of all rows are in a second time.
SELECT v, jsonb_object_agg(v, part) OVER () AS parts
FROM (
    SELECT v, row_number() OVER (ORDER BY n DESC, v) AS part,
        sum(n) OVER (ORDER BY n DESC, v) AS copied, total
    FROM (
        SELECT v::text, count(*) AS n, sum(count(*)) OVER () AS total FROM (:rows) r (v) GROUP BY v
    ) counted
    WHERE v IS NOT NULL AND n > 5000 AND n >= total / 20 AND n <= total / 2
) big
WHERE copied <= total / 2 AND part <= 4
ORDER BY part
