            sealed := ARRAY(
                SELECT ROW(:c_keys, c.search_xid, c.distance):::candidate
                FROM unnest(by_graph, by_part, by_rows) AS g (id, part, rows)
                -- So many nodes of a graph of that size give a recall of 0.98.
                CROSS JOIN LATERAL set_config('hnsw.ef_search', least(1000, greatest(want_n,
                    40, 60 * power(g.rows / 10000.0, 0.42)))::integer::text, true) AS effort
                CROSS JOIN LATERAL (
                    SELECT :s_keys, s.search_xid, s.near :operator want_near AS distance
                    FROM :segments s
                    WHERE s.segment = g.id AND s.part = g.part AND effort <> '':matches
                    ORDER BY s.near :operator want_near
                    LIMIT wanted) c
                ORDER BY c.distance
                LIMIT wanted);
