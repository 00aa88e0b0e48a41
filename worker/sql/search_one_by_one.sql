        IF narrowest = :number AND cardinality(one_by_one) > 0 THEN
            sealed := sealed || ARRAY(
                SELECT ROW(:s_keys, s.search_xid, s.near :operator want_near):::candidate
                FROM unnest(one_by_one) AS g (id) CROSS JOIN LATERAL (
                    SELECT * FROM :segments s
                    WHERE s.segment = g.id AND s.part = 0 AND s.:filter = :want:s_matches
                    OFFSET 0) s -- so that segments are read one after the other
                ORDER BY s.near :operator want_near
                LIMIT wanted);
        END IF;
