DELETE FROM memingest.segments WHERE "table" = :literal;
INSERT INTO memingest.searches ("table", adopted, system_id)
SELECT :literal, NOT EXISTS (SELECT FROM :table WHERE search_xid IS NULL), system_identifier
FROM pg_control_system()
ON CONFLICT ("table") DO UPDATE SET sealed = NULL, adopted = excluded.adopted,
    system_id = excluded.system_id;
