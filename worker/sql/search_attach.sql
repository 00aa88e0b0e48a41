-- It belongs to whom its parent belongs, whoever has built it: that one will drop it.
DO $attach$
DECLARE
    owner text := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c
        WHERE c.oid = to_regclass(:segments_literal));
BEGIN
    IF owner <> current_user THEN
        EXECUTE $alter$ALTER TABLE :segment OWNER TO $alter$ || quote_ident(owner);
    END IF;
END
$attach$;
ALTER TABLE :segments ATTACH PARTITION :segment FOR VALUES IN (:number);
