-- As gateway_dead.sql, of a SQLite file: $3 and $4 are arrays of JSON.
SELECT d.partition, d."offset", d.reason, d.detail
FROM json_each($3) AS p JOIN json_each($4) AS o ON o.key = p.key
JOIN memingest_dead_letters AS d
  ON d.pipeline = $1 AND d.topic = $2 AND d.partition = p.value AND d."offset" = o.value
