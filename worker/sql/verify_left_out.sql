-- Offsets below next_offset that are not in the table: dead letters (one that was replayed came
-- again, at another offset), and gaps that an operator declared. Those of a log that was exchanged
-- since (a gap of no length says when) are about other events. In the order of places.
WITH exchanged AS (
    SELECT topic, partition, max(created_at) AS at FROM :gaps
    WHERE pipeline = $1 AND from_offset = to_offset GROUP BY topic, partition
)
SELECT l.topic, l.partition, l.from_offset, l.to_offset
FROM (SELECT topic, partition, "offset" AS from_offset, "offset" + 1 AS to_offset, created_at
        FROM :dead_letters WHERE pipeline = $1
    UNION ALL
    SELECT topic, partition, from_offset, to_offset, created_at
        FROM :gaps WHERE pipeline = $1 AND from_offset < to_offset) AS l
LEFT JOIN exchanged x USING (topic, partition)
WHERE x.at IS NULL OR l.created_at > x.at
ORDER BY 1, 2, 3
