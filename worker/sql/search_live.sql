
-- Which column searches go to, as the caller's statement sees it, and whose vectors it has: NAME of
-- [embed.NAME]; null: they come with the events.
CREATE OR REPLACE FUNCTION :live ()
RETURNS TABLE ("column" text, model text)
LANGUAGE sql STABLE ROWS 1
AS $search$
    SELECT v.c, v.m
    FROM (VALUES :columns) v (place, search, c, m)
    LEFT JOIN memingest.searches s ON s."table" = v.search
    ORDER BY s.live DESC NULLS LAST, v.place
    LIMIT 1
$search$;
