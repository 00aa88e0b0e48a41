    IF filtered THEN
        SELECT coalesce(array_agg(m.segment) FILTER (WHERE m.fewest <= 5000), '{}'),
            coalesce(array_agg(m.segment) FILTER (WHERE m.fewest > 5000), '{}'),
            array_agg(m.part) FILTER (WHERE m.fewest > 5000),
            array_agg(CASE WHEN m.part > 0 THEN m.f1 ELSE m.rows END)
                FILTER (WHERE m.fewest > 5000),
            CASE least(:sums) :sum_cases END,
            ARRAY[:frequent]
        INTO one_by_one, by_graph, by_part, by_rows, narrowest, frequent
        FROM (
            SELECT s.segment, s.rows, m.*, least(:counts) AS fewest,
                coalesce((s.tenants ->> :first::text)::integer, 0) AS part
            FROM memingest.segments s CROSS JOIN LATERAL (SELECT :estimates) m
            WHERE s."table" = :literal AND s.segment = ANY (by_graph)) m;
:by_index    END IF;
