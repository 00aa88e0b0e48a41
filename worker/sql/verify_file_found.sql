-- As verify_found.sql, of a SQLite file. The table stays as it was at one moment, in one read
-- transaction, so the values themselves are compared.
CREATE TEMP TABLE verify_found AS
SELECT :r_keys,
    CASE WHEN t.:first IS NULL THEN 'missing'
        WHEN :newer THEN 'newer'
        ELSE 'differs' END AS _kind
FROM :rows AS r LEFT JOIN :table AS t ON :same_key
WHERE t.:first IS NULL OR :differ
UNION ALL
SELECT :t_keys, 'extra' FROM :table AS t
WHERE :whole AND :sample AND NOT EXISTS (SELECT 1 FROM :rows AS r WHERE :same_key)
