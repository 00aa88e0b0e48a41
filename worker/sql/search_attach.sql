ALTER TABLE :segments ATTACH PARTITION :segment FOR VALUES IN (:number);
-- It belongs to whom its parent belongs, whoever has built it: that one will drop it.
DO $attach$
DECLARE
    owner text := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c
        WHERE c.oid = to_regclass(:segments_literal));
    part regclass;
BEGIN
    IF owner <> current_user THEN
        FOR part IN SELECT relid FROM pg_partition_tree(:segment_literal) LOOP
            EXECUTE format('ALTER TABLE %s OWNER TO %I', part, owner);
        END LOOP;
    END IF;
END
$attach$;
