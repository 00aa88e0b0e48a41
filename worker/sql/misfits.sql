-- Why a table cannot hold the stream's rows at all, whatever their values: one text, or none. Parameters as in
-- traits.sql. Asked when PostgreSQL has refused a row, to know whose fault that is.
WITH want (name, type, nullable, key) AS (VALUES :columns),
have AS (
    SELECT w.*, a.attnum, pg_catalog.format_type(a.atttypid, a.atttypmod) AS is_type
    FROM want w
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = :table::regclass AND a.attname = w.name AND NOT a.attisdropped
)
SELECT format('column %I is not in the table: run "memingest migrate"', name)
FROM have WHERE attnum IS NULL
UNION ALL
SELECT format('column %I is %s in the table and %s in the schema', name, is_type, type)
FROM have
WHERE type ~ '^(vector|halfvec)\(' AND is_type ~ '^(vector|halfvec)\('
    AND substring(is_type FROM '\(.*\)') <> replace(substring(type FROM '\(.*\)'), ' ', '')
UNION ALL
SELECT format('column %I of the table is NOT NULL without a default, and no field of the stream fills it', a.attname)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = :table::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
    AND NOT a.atthasdef AND a.attidentity = '' AND a.attname NOT IN (SELECT name::name FROM want)
UNION ALL
SELECT format('column %I of the table is generated always, and a field of the stream would fill it', a.attname)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = :table::regclass AND a.attgenerated <> '' AND a.attname IN (SELECT name::name FROM want)
LIMIT 1
