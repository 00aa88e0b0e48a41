-- As why_letters.sql, of a SQLite file.
SELECT id, "offset", reason, detail,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000000.0, 'unixepoch') AS created,
    strftime('%Y-%m-%dT%H:%M:%fZ', replayed_at / 1000000.0, 'unixepoch') AS replayed
FROM memingest_dead_letters
WHERE pipeline = $1 AND topic = $2 AND partition = CAST($3 AS INTEGER) AND hex(key) = upper($4)
ORDER BY "offset" DESC, id DESC LIMIT 20
