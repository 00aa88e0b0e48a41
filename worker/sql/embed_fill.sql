-- Vectors into their rows, where there is none yet and the text is the one that it was made of.
-- A row that somebody holds is passed over: nobody waits for anybody. The JSON becomes rows of the
-- table's own types, so none is named here. Answers how many rows wanted theirs, and got it.
WITH made AS (
    SELECT * FROM json_populate_recordset(NULL:::table, $1::json)
), mine AS (
    SELECT m.* FROM made m JOIN :table t ON :t_is_m
    WHERE :same
    FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE :table t SET :vector = m.:vector:set
    FROM mine m WHERE :t_is_m AND :same
    RETURNING 1
)
SELECT (SELECT count(*) FROM made m JOIN :table t ON :t_is_m WHERE :same),
    (SELECT count(*) FROM filled);
