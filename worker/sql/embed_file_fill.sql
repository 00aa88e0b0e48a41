-- As embed_fill.sql, of a SQLite file. There are no locks of rows in it: those that do not change
-- have a vector by now, another text, or are gone.
UPDATE :table AS t SET :vector = :made:set
FROM json_each($1) m
WHERE t.:row = (m.value ->> 0) AND :same;
