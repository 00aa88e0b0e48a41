-- What upkeep of a search will meet. $1: the segments, as memingest."t_segments"; $2: the table,
-- $3: the search, as it stands in memingest.searches.
SELECT
    -- whose segments there are that this role does not own
    (SELECT string_agg(DISTINCT pg_get_userbyid(c.relowner), ', ')
        FROM pg_partition_tree(to_regclass($1)) p JOIN pg_class c ON c.oid = p.relid
        WHERE NOT pg_has_role(c.relowner, 'USAGE')) AS others,
    coalesce((SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c
        WHERE c.oid = to_regclass($2)), false) AS owns_table,
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass($2)
        AND a.attname = 'search_xid' AND a.atthasdef AND NOT a.attisdropped) AS has_default,
    EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
        AND a.attnum = i.indkey[0]
        WHERE i.indrelid = to_regclass($2) AND a.attname = 'search_xid' AND i.indisvalid
    ) AS indexed,
    (SELECT count(*) FROM memingest.segments s WHERE s."table" = $3 AND s.state <> 'dead'
        AND (SELECT count(*) FROM pg_partition_tree(
            to_regclass(left($1, -2) || '_' || s.segment || '"'))) <> 1 + s.parts) AS lost;
