-- Of a table with several searched columns: each function goes to that of the live column, which a
-- row in memingest.searches says, in the snapshot of the caller's statement.
CREATE OR REPLACE FUNCTION :candidates (query vector, n integer DEFAULT 100:filter_parameters,
    freshness text DEFAULT 'all')
RETURNS SETOF :candidate
LANGUAGE plpgsql STABLE ROWS 10
AS $search$
BEGIN
    CASE (SELECT l."column" FROM :live () l)
:candidates_cases    END CASE;
END
$search$;

CREATE OR REPLACE FUNCTION :search (query vector, k integer DEFAULT 10:filter_parameters,
    freshness text DEFAULT 'all')
RETURNS SETOF :found
LANGUAGE plpgsql STABLE ROWS 10
AS $search$
BEGIN
    CASE (SELECT l."column" FROM :live () l)
:search_cases    END CASE;
END
$search$;

CREATE OR REPLACE FUNCTION :scope (freshness text DEFAULT 'all')
RETURNS TABLE (segments bigint, sealed_rows bigint, stale_rows bigint, unindexed_rows bigint,
    skipped_rows bigint)
LANGUAGE plpgsql STABLE
AS $search$
BEGIN
    CASE (SELECT l."column" FROM :live () l)
:scope_cases    END CASE;
END
$search$;
:live_function
COMMENT ON FUNCTION :search IS :note;
