SELECT count(*) FROM :segment s WHERE s.part = 0 AND NOT EXISTS (
    SELECT FROM :table t WHERE :t_is_s AND t.search_xid IS NOT DISTINCT FROM s.search_xid)
