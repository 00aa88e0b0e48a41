    IF filtered THEN
        -- A row compared costs 3 us; a graph of which a share matches takes 0.8 ms / that share.
        SELECT coalesce(array_agg(m.segment) FILTER (WHERE m.fewest <= 16 * sqrt(m.nodes)), '{}'),
            coalesce(array_agg(m.segment) FILTER (WHERE m.fewest > 16 * sqrt(m.nodes)), '{}'),
            array_agg(m.part) FILTER (WHERE m.fewest > 16 * sqrt(m.nodes)),
            array_agg(m.nodes) FILTER (WHERE m.fewest > 16 * sqrt(m.nodes)),
            CASE least(:sums) :sum_cases END,
            ARRAY[:frequent]
        INTO one_by_one, by_graph, by_part, by_rows, narrowest, frequent
        FROM (
            SELECT s.segment, m.*, least(:counts) AS fewest, part,
                CASE WHEN part > 0 THEN m.f1 ELSE s.rows END AS nodes
            FROM memingest.segments s CROSS JOIN LATERAL (SELECT :estimates) m
            CROSS JOIN LATERAL coalesce((s.tenants ->> :first::text)::integer, 0) AS part
            WHERE s."table" = :key AND s.segment = ANY (by_graph)) m;
:by_index    END IF;
