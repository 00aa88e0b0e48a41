-- Dead letters of pipeline $1 in partition $3 of topic $2 whose key has the bytes $4.
SELECT id, "offset", reason, detail,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created,
    to_char(replayed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS replayed
FROM memingest.dead_letters
WHERE pipeline = $1 AND topic = $2 AND partition = $3::int AND key = decode($4, 'hex')
ORDER BY "offset" DESC, id DESC LIMIT 20
