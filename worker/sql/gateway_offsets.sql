-- Where each partition of the pipeline $1 stands, and why it is halted, if it is. A halt that the
-- partition has gone past does not count.
SELECT topic, partition, next_offset, CASE WHEN halted_at = next_offset THEN halted END
FROM :offsets
WHERE pipeline = $1
