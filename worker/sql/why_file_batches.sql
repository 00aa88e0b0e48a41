-- As why_batches.sql, of a SQLite file: $2 is the time of the transaction that wrote the row, to
-- the microsecond, which is that of its batches; $3 the same in milliseconds.
SELECT topic, partition, from_offset, to_offset, committed_at = CAST($2 AS INTEGER) AS its_own,
    strftime('%Y-%m-%dT%H:%M:%fZ', committed_at / 1000000.0, 'unixepoch') AS committed
FROM memingest_batches
WHERE pipeline = $1
    AND ($3 IS NULL OR committed_at BETWEEN ($3 - 1) * 1000 AND ($3 + 10000) * 1000)
ORDER BY its_own DESC, committed_at
LIMIT 16
