    IF :any_filter THEN
        SELECT coalesce(array_agg(m.segment) FILTER (WHERE m.fewest <= 5000), '{}'),
            coalesce(array_agg(m.segment) FILTER (WHERE m.fewest > 5000), '{}'),
            CASE least(:sums) :sum_cases END,
            coalesce(least(:sums), 0)
        INTO one_by_one, by_graph, narrowest, matching
        FROM (
            SELECT s.segment, m.*, least(:counts) AS fewest
            FROM memingest.segments s CROSS JOIN LATERAL (SELECT :estimates) m
            WHERE s."table" = :literal AND s.segment = ANY (by_graph)) m;
        narrow := coalesce(bound IS NULL AND matching <= 5000 AND narrowest IN (:indexed), false);
    END IF;

