-- As embed_window.sql, of a SQLite file, in the order in which rows lie there; the row's number is
-- behind its text. The sizes come first, so that only the texts that fit :bytes are held at once.
SELECT :t_keys, t.:text, t.:row
FROM (SELECT r._row,
        sum(r._size) OVER (ORDER BY r._row ROWS UNBOUNDED PRECEDING) - r._size AS _before
    FROM (SELECT t.:row AS _row, length(CAST(t.:text AS BLOB)) AS _size FROM :table t
        WHERE :wants:after
        ORDER BY t.:row LIMIT :rows) r) w
    CROSS JOIN :table t ON t.:row = w._row
WHERE w._before < :bytes
ORDER BY w._row;
