        IF narrowest = :number THEN -- IS TRUE: this condition is none for an index
            hits := hits || ARRAY(
                SELECT ROW(:t_keys, t.search_xid, t.:vector :operator want_vector):::candidate
                FROM :table t
                WHERE t.:filter = :want AND (t.search_xid >= since OR t.search_xid = ANY (running)
                    OR older AND t.search_xid IS NULL) IS TRUE:t_matches
                ORDER BY t.:vector :operator want_vector
                LIMIT want_n);
        END IF;
