-- The nearest n rows, as their keys: what a query of your own joins with.
-- freshness: all, bounded(N): of the rows that are in no segment yet the last N, or indexed.
CREATE OR REPLACE FUNCTION :candidates (query vector, n integer DEFAULT 100:filter_parameters,
    freshness text DEFAULT 'all')
RETURNS SETOF :candidate
LANGUAGE plpgsql STABLE ROWS 10
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
SET hnsw.iterative_scan = relaxed_order SET hnsw.ef_search = 100
AS $search$
#variable_conflict use_column
DECLARE
    want_vector :vector_type := query;
    want_near :near_type := :near_of_query;
    want_n integer := n;
:want_filters    state memingest.searches;
    bound integer;                    -- how many rows in no segment are read; null: all of them:
    since xid8 := '0';                -- those of this transaction and later ones,
    running xid8[] := '{}';           -- and of these,
    older boolean := true;            -- and those from before there were transactions
    by_graph integer[] := '{}';       -- segments that are searched by their graphs,
    by_part integer[];                -- a tenant's own or 0, which is that of all rows,
    by_rows bigint[];                 -- with so many rows in it,
    one_by_one integer[] := '{}';     -- and those where the filters leave few rows,
    narrowest integer;                -- by the filter that leaves the fewest
    frequent bigint[];                -- by filter: rows in segments, as far as they are counted
    lost boolean := false;            -- a segment is not there: dropped, or without WAL
    wanted integer := n + n / 2 + 20; -- some have changed or gone since
    sealed :candidate[];
    hits :candidate[] := '{}';
BEGIN
    IF freshness ~ '^bounded\(\d{1,9}\)$' THEN
        bound := substr(freshness, 9, length(freshness) - 9);
    ELSIF freshness = 'indexed' THEN
        bound := 0;
    ELSIF freshness IS DISTINCT FROM 'all' THEN
        RAISE 'freshness is all, bounded(N) or indexed, not "%"', freshness
        USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- Sealed by a transaction to come: restored into another cluster. Then all rows are read.
    SELECT * INTO state FROM memingest.searches s WHERE s."table" = :key
        AND coalesce(pg_snapshot_xmax(s.sealed) <= pg_snapshot_xmax(pg_current_snapshot()), true);
    IF FOUND THEN
        since := coalesce(pg_snapshot_xmax(state.sealed), '0');
        running := ARRAY(SELECT pg_snapshot_xip(state.sealed));
        older := NOT state.adopted;
        SELECT coalesce(array_agg(s.segment), '{}'), array_agg(0), array_agg(s.rows),
            coalesce(pg_is_in_recovery() AND bool_or(NOT s.logged), false)
        INTO by_graph, by_part, by_rows, lost
        FROM memingest.segments s WHERE s."table" = :key AND s.state = 'live';
    END IF;
:choose_ways
    WHILE cardinality(by_graph || one_by_one) > 0 AND NOT lost LOOP
        sealed := '{}';
:by_graph:one_by_one        hits := ARRAY(
            SELECT ROW(:t_keys, t.search_xid, t.:vector :operator want_vector):::candidate
            FROM unnest(sealed) c JOIN :table t ON :t_is_c
            WHERE t.search_xid IS NOT DISTINCT FROM c.search_xid);
        EXIT WHEN cardinality(hits) >= want_n OR cardinality(sealed) < wanted;
        wanted := wanted * 4;
    END LOOP;

    IF NOT lost THEN
        lost := EXISTS (
            SELECT FROM memingest.segments s CROSS JOIN generate_series(0, s.parts) AS part
            CROSS JOIN to_regclass(:segment_prefix || s.segment
                || CASE WHEN part = 0 THEN '"' ELSE '_' || part - 1 || '"' END) AS found
            WHERE s."table" = :key AND s.segment = ANY (by_graph || one_by_one)
            AND (found IS NULL OR NOT s.logged AND part = least(s.parts, 1)
                AND pg_relation_size(found) = 0)); -- emptied by a crash
    END IF;
    IF lost THEN
        RAISE WARNING 'a segment of % is gone: all rows are read until it has been built again',
            :literal;
        since := '0';
        running := '{}';
        older := true;
        hits := '{}';
    END IF;

    -- Rows in no segment. "+ 0": not by a vector index of the table's own, which may miss some.
    IF bound IS NULL THEN
:tail    ELSIF bound > 0 THEN
        hits := hits || ARRAY(
            SELECT ROW(:t_keys, t.search_xid, t.:vector :operator want_vector):::candidate
            FROM (SELECT * FROM :table t WHERE t.search_xid >= since
                ORDER BY t.search_xid DESC LIMIT bound) t
            WHERE true:t_matches);
    END IF;
    IF bound IS DISTINCT FROM 0 AND (older OR cardinality(running) > 0) THEN
        hits := hits || ARRAY(
            SELECT ROW(:t_keys, t.search_xid, t.:vector :operator want_vector):::candidate
            FROM (
                SELECT * FROM :table t WHERE t.search_xid = ANY (running)
                UNION ALL
                SELECT * FROM :table t WHERE older AND t.search_xid IS NULL
                LIMIT bound) t
            WHERE true:t_matches
            ORDER BY (t.:vector :operator want_vector) + 0
            LIMIT want_n);
    END IF;
    RETURN QUERY
    SELECT * FROM unnest(hits) c WHERE c.distance <> 'NaN' ORDER BY c.distance LIMIT want_n;
END
$search$;

-- The nearest k rows themselves.
CREATE OR REPLACE FUNCTION :search (query vector, k integer DEFAULT 10:filter_parameters,
    freshness text DEFAULT 'all')
RETURNS SETOF :found
LANGUAGE sql STABLE ROWS 10
AS $search$
    SELECT :found_columns, c.distance
    FROM :candidates ($1, $2:filter_numbers, :freshness_number) c JOIN :table t ON :t_is_c
    ORDER BY c.distance
$search$;

-- What a search reads, and what it leaves out under that freshness.
CREATE OR REPLACE FUNCTION :scope (freshness text DEFAULT 'all')
RETURNS TABLE (segments bigint, sealed_rows bigint, stale_rows bigint, unindexed_rows bigint,
    skipped_rows bigint)
LANGUAGE sql STABLE
SET enable_seqscan = off SET jit = off
AS $search$
    SELECT s.n, s.rows, s.stale, t.n, greatest(0, t.n - CASE WHEN $1 = 'all' THEN t.n
        WHEN $1 = 'indexed' THEN 0 ELSE substring($1 FROM '^bounded\((\d+)\)$')::bigint END)
    FROM (
        SELECT count(*) AS n, coalesce(sum(rows), 0)::bigint AS rows,
            coalesce(sum(stale), 0)::bigint AS stale
        FROM memingest.segments WHERE "table" = :key AND state = 'live') s
    CROSS JOIN (
        SELECT coalesce(max(pg_snapshot_xmax(sealed)), '0') AS since,
            coalesce(bool_and(adopted), false) AS adopted,
            coalesce(max(ARRAY(SELECT pg_snapshot_xip(sealed))), '{}') AS running
        FROM memingest.searches WHERE "table" = :key) b
    CROSS JOIN LATERAL (
        SELECT (SELECT count(*) FROM :table WHERE search_xid >= b.since)
            + (SELECT count(*) FROM :table WHERE search_xid = ANY (b.running))
            + (SELECT count(*) FROM :table WHERE NOT b.adopted AND search_xid IS NULL) AS n) t
$search$;
:live_function
COMMENT ON FUNCTION :search IS :note;
