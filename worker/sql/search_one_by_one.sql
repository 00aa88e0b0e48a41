        IF narrowest = :number THEN
            sealed := sealed || ARRAY(
                SELECT ROW(:s_keys, s.search_xid, s.near :operator want_near):::candidate
                FROM unnest(one_by_one) AS g (id) CROSS JOIN LATERAL (
                    SELECT * FROM :segments s
                    WHERE s.segment = g.id AND s.part = 0 AND s.:filter = :want:s_matches) s
                ORDER BY s.near :operator want_near
                LIMIT wanted);
        END IF;
