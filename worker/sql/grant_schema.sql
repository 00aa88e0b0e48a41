-- The schemas of a table and of its columns' types (pgvector's), should they not let everybody in
-- as public does by default.
DO $grant$
DECLARE
    schema regnamespace;
BEGIN
    FOR schema IN
        SELECT relnamespace FROM pg_class WHERE oid = :table_literal::regclass
        UNION
        SELECT typnamespace FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE attrelid = :table_literal::regclass AND attnum > 0
    LOOP
        IF NOT has_schema_privilege(:role_literal, schema::oid, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', schema, :role_literal);
        END IF;
    END LOOP;
END
$grant$;
