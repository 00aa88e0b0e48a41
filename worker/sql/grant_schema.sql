-- The schema of a table that search_path finds, should it not let everybody in as public does.
DO $grant$
DECLARE
    schema regnamespace := (SELECT relnamespace FROM pg_class WHERE oid = :table_literal::regclass);
BEGIN
    IF NOT has_schema_privilege(:role_literal, schema::oid, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', schema, :role_literal);
    END IF;
END
$grant$;
