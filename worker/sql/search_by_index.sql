
        -- Few rows in all: exactly, by an index of the table's own, if it has one.
        IF bound IS NULL AND :want IS NOT NULL AND coalesce(frequent[:number], 0) <= 5000
            AND EXISTS (SELECT FROM pg_index i
                JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                JOIN pg_class x ON x.oid = i.indexrelid
                JOIN pg_am m ON m.oid = x.relam
                WHERE i.indrelid = to_regclass(:literal) AND a.attname = :filter_literal
                AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree')
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
