-- The next rows that have a text and no vector, by their key: key and text. As many as fit :bytes,
-- and one at least.
SELECT :w_keys, w.:text
FROM (SELECT :r_keys, r.:text,
        sum(octet_length(r.:text)) OVER (ORDER BY :r_keys ROWS UNBOUNDED PRECEDING)
            - octet_length(r.:text) AS _before
    FROM (SELECT :t_keys, t.:text::text AS :text FROM :table t
        WHERE :wants:after
        ORDER BY :t_keys LIMIT :rows) r) w
WHERE w._before < :bytes
ORDER BY :w_keys;
