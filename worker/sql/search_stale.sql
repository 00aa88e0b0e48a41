SELECT count(*) FROM :segment s WHERE NOT EXISTS (
    SELECT FROM :table t WHERE :t_is_s AND t.search_xid IS NOT DISTINCT FROM s.search_xid)
