-- What a table is like, as bits (enum trait of core/mergesql.h): which of the fast ways of writing are right
-- for it. :table is its quoted name as a literal, :columns a row for each column of the stream: name, type,
-- whether it may be null by the schema, whether it is of the key.
WITH want (name, type, nullable, key) AS (VALUES :columns),
tables AS (
    SELECT :table::regclass AS oid
    UNION SELECT relid FROM pg_catalog.pg_partition_tree(:table::regclass)
),
have AS (
    SELECT w.*, a.attnum, a.atttypid, a.attnotnull, l.collisdeterministic,
           a.atttypid IS DISTINCT FROM pg_catalog.to_regtype(w.type) AS other_type,
           substring(pg_catalog.format_type(a.atttypid, a.atttypmod) FROM '\(.*\)')
               IS DISTINCT FROM replace(substring(w.type FROM '\(.*\)'), ' ', '') AS other_limits
    FROM want w
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = :table::regclass AND a.attname = w.name AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
),
other_index AS ( -- but those on just the key's columns, which say the same as the key
    SELECT i.* FROM pg_catalog.pg_index i JOIN tables t ON i.indrelid = t.oid
    WHERE i.indpred IS NOT NULL OR i.indexprs IS NOT NULL
       OR (SELECT array_agg(a.attname ORDER BY a.attname) FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
          IS DISTINCT FROM (SELECT array_agg(name::name ORDER BY name::name) FROM want WHERE key)
)
SELECT
    -- 1: a column is missing or of another type
    CASE WHEN EXISTS (SELECT FROM have WHERE other_type) THEN 1 ELSE 0 END
    -- 2: rows depend on each other: triggers, rules, a second unique index, an exclusion, a foreign key within the table, keys
    --    that differ in bytes and are the same
    | CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN tables t ON g.tgrelid = t.oid
                        WHERE NOT g.tgisinternal AND g.tgenabled <> 'D')
             OR EXISTS (SELECT FROM pg_catalog.pg_class c JOIN tables t ON c.oid = t.oid WHERE c.relhasrules OR c.relkind NOT IN ('r', 'p'))
             OR EXISTS (SELECT FROM other_index WHERE indisunique OR indisexclusion)
             OR EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = :table::regclass AND c.contype = 'f'
                        AND c.confrelid = c.conrelid)
             OR EXISTS (SELECT FROM have WHERE key AND (other_type OR other_limits OR NOT coalesce(collisdeterministic, true)))
           THEN 2 ELSE 0 END
    -- 4: a row may be refused by its values: checks, foreign keys, narrower types, generated columns, indexes on expressions,
    --    row security, partitions
    | CASE WHEN EXISTS (SELECT FROM have WHERE other_type OR other_limits OR (attnotnull AND nullable))
             OR EXISTS (SELECT FROM pg_catalog.pg_constraint c JOIN tables t ON c.conrelid = t.oid WHERE c.contype IN ('c', 'f', 'x'))
             OR EXISTS (SELECT FROM other_index WHERE indpred IS NOT NULL OR indexprs IS NOT NULL)
             OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = :table::regclass AND a.attgenerated <> '')
             OR EXISTS (SELECT FROM pg_catalog.pg_class c JOIN tables t ON c.oid = t.oid WHERE c.relrowsecurity OR c.relkind <> 'r')
           THEN 4 ELSE 0 END
    -- 8: further indexes, which refuse a value that is too long for them
    | CASE WHEN EXISTS (SELECT FROM other_index) THEN 8 ELSE 0 END
