-- Ids of checks that have left something behind, or are under way.
SELECT DISTINCT id FROM (
    SELECT substring(relname FROM '^verify_([0-9a-f]{8})_[a-z]+$') FROM pg_class
        WHERE relnamespace = 'memingest'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT substring(pipeline FROM '/verify/([0-9a-f]{8})$') FROM memingest.offsets
) AS ids (id) WHERE id IS NOT NULL
