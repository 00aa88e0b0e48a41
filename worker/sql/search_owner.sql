-- A segment is attached by the owner of their parent, and dropped by its own: a worker's role.
DO $owner$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT c.oid FROM pg_partition_tree(:segments_literal) t JOIN pg_class c ON c.oid = t.relid
        WHERE pg_get_userbyid(c.relowner) <> :role_literal
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', part, :role_literal);
    END LOOP;
END
$owner$;
