            hits := hits || ARRAY(
                SELECT ROW(:c_keys, NULL::xid8, c.distance):::candidate
                FROM (
                    SELECT :t_keys, (t.:vector :operator want_vector) + 0 AS distance
                    FROM :table t
                    WHERE t.search_xid >= since:matches
                    ORDER BY distance
                    LIMIT want_n) c);
