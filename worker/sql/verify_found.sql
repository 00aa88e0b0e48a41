-- Rows that are not the same in both, by the key.
--
--   missing  the topic has it, the table did not
--   extra    the other way round
--   newer    the table had a later version, from before what was read: neither can be judged
--   differs  a column is another one
CREATE UNLOGGED TABLE :found AS
SELECT :both_keys, w._hash AS _was, r._xmin,
    CASE WHEN w._hash IS NULL THEN 'missing'
        WHEN r._hash IS NULL THEN 'extra'
        WHEN :newer THEN 'newer'
        ELSE 'differs' END AS _kind
FROM :was AS w
:join JOIN (SELECT :keys, :hash AS _hash, :version AS _version, xmin AS _xmin
    FROM :rows AS t) AS r ON :same_key
WHERE w._hash IS DISTINCT FROM r._hash;
