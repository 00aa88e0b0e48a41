-- What the books of pipeline $1 know about how far back they can be believed, by partition.
--
--   chosen     the topic's first start was not its beginning
--   first      the lowest offset that the batches' book still has; null: none
--   exchanged  whether the topic was created anew since
--   gaps       ranges that were given up
--   dead       dead letters that batches counted, and that are there
SELECT o.topic, o.partition,
    EXISTS (SELECT 1 FROM :offsets s WHERE s.pipeline = $1 AND s.topic = o.topic
        AND s.partition = -1) AS chosen,
    b.first,
    coalesce(g.exchanged, 0) AS exchanged, coalesce(g.gaps, 0) AS gaps,
    coalesce(b.dead, 0) AS dead_counted, coalesce(d.dead, 0) AS dead_there
FROM :offsets o
LEFT JOIN (SELECT topic, partition, min(from_offset) AS first, sum(dead) AS dead
    FROM :batches WHERE pipeline = $1 GROUP BY 1, 2) b USING (topic, partition)
LEFT JOIN (SELECT topic, partition,
        max(CASE WHEN from_offset = to_offset THEN 1 ELSE 0 END) AS exchanged,
        count(*) FILTER (WHERE from_offset < to_offset) AS gaps
    FROM :gaps WHERE pipeline = $1 GROUP BY 1, 2) g USING (topic, partition)
LEFT JOIN (SELECT topic, partition, count(DISTINCT "offset") AS dead
    FROM :dead_letters WHERE pipeline = $1 GROUP BY 1, 2) d USING (topic, partition)
WHERE o.pipeline = $1 AND o.partition >= 0
