-- What a table is like, a row for each finding: a bit of enum trait (core/mergesql.h) and, for
-- people, what it is (of 8 just the column). The bits say which ways of writing are right for the
-- table.
--
--   :table    its quoted name, as a literal
--   :columns  for each column of the stream: name, type, whether the schema lets it be null,
--             whether it is of the key, whether an event sets it in a row that is there
WITH want (name, type, nullable, key, set) AS (VALUES :columns),
tables AS (
    SELECT :table::regclass AS oid
    UNION
    SELECT relid FROM pg_catalog.pg_partition_tree(:table::regclass)
),
have AS (
    SELECT w.*, a.attnum, a.attnotnull, NOT coalesce(l.collisdeterministic, true) AS coarse,
        pg_catalog.format_type(a.atttypid, a.atttypmod) AS is_type,
        a.atttypid IS DISTINCT FROM pg_catalog.to_regtype(w.type) AS other_type,
        substring(pg_catalog.format_type(a.atttypid, a.atttypmod) FROM '\(.*\)')
            IS DISTINCT FROM replace(substring(w.type FROM '\(.*\)'), ' ', '') AS other_limits
    FROM want w
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = :table::regclass AND a.attname = w.name AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
),
other_column AS (
    SELECT * FROM pg_catalog.pg_attribute
    WHERE attrelid = :table::regclass AND attnum > 0 AND NOT attisdropped
        AND attname NOT IN (SELECT name::name FROM want)
),
other_index AS ( -- but those on just the key's columns, which say the same as the key, and ours
    SELECT i.*, i.indexrelid::regclass AS name
    FROM pg_catalog.pg_index i JOIN tables t ON i.indrelid = t.oid
    WHERE (SELECT attname FROM pg_catalog.pg_attribute a -- pg_get_indexdef() would wait for locks
            WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[0]) IS DISTINCT FROM 'search_xid'
        AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL
        OR (SELECT array_agg(a.attname ORDER BY a.attname) FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = i.indrelid
                AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
            IS DISTINCT FROM
            (SELECT array_agg(name::name ORDER BY name::name) FROM want WHERE key))
)
-- 1: a column is of another type
SELECT 1, format('column %I is %s in the table and %s in the schema', name, is_type, type)
FROM have WHERE other_type

-- 2: what becomes of a row depends on rows of other keys
UNION ALL
SELECT 2, format('trigger %I', g.tgname)
FROM pg_catalog.pg_trigger g JOIN tables t ON g.tgrelid = t.oid
WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
UNION ALL
SELECT 2, 'rules, or no plain table'
FROM pg_catalog.pg_class c JOIN tables t ON c.oid = t.oid
WHERE c.relhasrules OR c.relkind NOT IN ('r', 'p')
UNION ALL
SELECT 2, format('index %s, %s', name, CASE WHEN indisunique THEN 'unique' ELSE 'excluding' END)
FROM other_index WHERE indisunique OR indisexclusion
UNION ALL
SELECT 2, format('foreign key %I, within the table', c.conname)
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = :table::regclass AND c.contype = 'f' AND c.confrelid = c.conrelid
UNION ALL -- keys that differ in bytes and are the same
SELECT 2, format('key column %I: another type, other limits or a coarse collation', name)
FROM have WHERE key AND (other_type OR other_limits OR coarse)

-- 4: a row may be refused by its values
UNION ALL
SELECT 4, format('column %I: narrower than the schema says', name)
FROM have WHERE other_type OR other_limits OR (attnotnull AND nullable)
UNION ALL
SELECT 4, format('constraint %I', c.conname)
FROM pg_catalog.pg_constraint c JOIN tables t ON c.conrelid = t.oid
WHERE c.contype IN ('c', 'f', 'x')
UNION ALL
SELECT 4, format('index %s, over an expression', name)
FROM other_index WHERE indpred IS NOT NULL OR indexprs IS NOT NULL
UNION ALL
SELECT 4, format('column %I, generated', attname) FROM other_column WHERE attgenerated <> ''
UNION ALL
SELECT 4, CASE WHEN c.relrowsecurity THEN 'row security' ELSE 'partitions' END
FROM pg_catalog.pg_class c JOIN tables t ON c.oid = t.oid
WHERE c.relrowsecurity OR c.relkind <> 'r'
UNION ALL
SELECT 32, format('%s has row security: what its policies refuse becomes a dead letter, '
    'what they hide is written again or refused', c.oid::regclass)
FROM pg_catalog.pg_class c JOIN tables t ON c.oid = t.oid
WHERE c.relrowsecurity

-- 8: columns in further indexes, which refuse a value that is too long for them
UNION ALL
SELECT 8, a.attname
FROM other_index i JOIN pg_catalog.pg_attribute a
    ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)

-- 16: no row of the stream's can be held, whatever its values
UNION ALL
SELECT 16, format('column %I is not in the table: run "memingest migrate"', name)
FROM have WHERE attnum IS NULL
UNION ALL
SELECT 16, format('column %I is %s in the table and %s in the schema', name, is_type, type)
FROM have
WHERE type ~ '^(vector|halfvec)\(' AND is_type ~ '^(vector|halfvec)\(' AND other_limits
UNION ALL
SELECT 16, format('column %I of the table is NOT NULL without a default, '
    'and no field of the stream fills it', attname)
FROM other_column
WHERE attnotnull AND NOT atthasdef AND attidentity = ''
UNION ALL
SELECT 16, format('column %I of the table is generated always, '
    'and a field of the stream would fill it', a.attname)
FROM pg_catalog.pg_attribute a JOIN want w ON a.attname = w.name
WHERE a.attrelid = :table::regclass AND a.attgenerated <> ''
UNION ALL -- of a key it is the event's value that counts: OVERRIDING SYSTEM VALUE
SELECT 16, format('column %I of the table is GENERATED ALWAYS AS IDENTITY, which no update may '
    'set, and events do: ALTER TABLE %s ALTER COLUMN %I SET GENERATED BY DEFAULT',
    a.attname, a.attrelid::regclass, a.attname)
FROM pg_catalog.pg_attribute a JOIN want w ON a.attname = w.name
WHERE a.attrelid = :table::regclass AND a.attidentity = 'a' AND w.set

-- 32: for people
UNION ALL
SELECT 32, format('%s is UNLOGGED: a crash of PostgreSQL empties it, and what was in it is not '
    'read again, since memingest.offsets stays: ALTER TABLE %s SET LOGGED',
    c.oid::regclass, c.oid::regclass)
FROM pg_catalog.pg_class c JOIN tables t ON c.oid = t.oid
WHERE c.relpersistence = 'u'
