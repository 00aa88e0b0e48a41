
        -- Few rows in all: exactly, by the table's own index.
        IF bound IS NULL AND :want IS NOT NULL AND coalesce(frequent[:number], 0) <= 5000
            AND (SELECT count(*) FROM (
                SELECT FROM :table t WHERE t.:filter = :want LIMIT 5001) t) <= 5000
        THEN
            RETURN QUERY
            SELECT :c_keys, NULL::xid8, c.distance
            FROM (
                SELECT :t_keys, (t.:vector :operator want_vector) + 0 AS distance
                FROM :table t
                WHERE t.:filter = :want:t_matches
                ORDER BY distance
                LIMIT want_n) c
            WHERE c.distance <> 'NaN'
            ORDER BY c.distance;
            RETURN;
        END IF;
