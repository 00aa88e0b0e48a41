DELETE FROM memingest.segments WHERE "table" = :key;
INSERT INTO memingest.searches ("table", adopted, system_id, live)
SELECT :key, NOT EXISTS (SELECT FROM :table WHERE search_xid IS NULL), system_identifier,
    NOT EXISTS (SELECT FROM memingest.searches WHERE "table" IN (:keys)) -- the first of them
FROM pg_control_system()
ON CONFLICT ("table") DO UPDATE SET sealed = NULL, adopted = excluded.adopted,
    system_id = excluded.system_id;
