            sealed := ARRAY(
                SELECT ROW(:c_keys, c.search_xid, c.distance):::candidate
                FROM unnest(by_graph, by_part) AS g (id, part) CROSS JOIN LATERAL (
                    SELECT :s_keys, s.search_xid, s.near :operator want_near AS distance
                    FROM :segments s
                    WHERE s.segment = g.id AND s.part = g.part:matches
                    ORDER BY s.near :operator want_near
                    LIMIT wanted) c
                ORDER BY c.distance
                LIMIT wanted);
