-- Batches of pipeline $1 that may have written a row: $2 is the transaction that did, $3 when that
-- began, in milliseconds (null: not known). The transaction's own first; where rows are written
-- under savepoints it is not told by the row, so those that ended soon after count as well.
SELECT topic, partition, from_offset, to_offset, xmin = $2::xid AS its_own,
    to_char(committed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS committed
FROM memingest.batches
WHERE pipeline = $1
    AND (xmin = $2::xid OR committed_at <= to_timestamp($3::bigint / 1000.0) + interval '10 s')
    AND ($3 IS NULL OR committed_at >= to_timestamp($3::bigint / 1000.0) - interval '1 ms')
ORDER BY its_own DESC, committed_at
LIMIT 16
