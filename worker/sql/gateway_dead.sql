-- Which of the messages of topic $2 at partitions $3 and offsets $4 (two arrays of one length) are
-- dead letters of the pipeline $1.
SELECT d.partition, d."offset", d.reason, d.detail
FROM unnest($3::integer[], $4::bigint[]) AS sent(partition, place)
JOIN memingest.dead_letters AS d
  ON d.pipeline = $1 AND d.topic = $2
  AND d.partition = sent.partition AND d."offset" = sent.place
