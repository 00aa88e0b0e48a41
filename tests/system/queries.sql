-- The tables that docs/QUERIES.md is about: memingest.rows memories (100,000 where times are
-- said), a tenth of that of patterns and of steps. After "migrate":
--
--     SET memingest.rows = 100000; \i tests/system/queries.sql
INSERT INTO memory_entries (namespace, key, event_time, created_at, value, embedding, metadata,
    tags, user_id, agent_id, role, tool_call_id, data_source, doc_id)
SELECT 'n' || i % 20, 'k' || i, at, at,
    'note ' || i || ' ' || repeat('about the weather and the invoice ', 8),
    (SELECT array_agg(sin(i * 7.3 + d * 1.7 + i * d * 0.618))
        FROM generate_series(1, 384) d)::vector,
    jsonb_build_object('n', i), ARRAY['t' || i % 200, 'topic' || i * 7 % 30],
    'u' || abs(hashint4(i)) % 1000, 'a' || abs(hashint4(i + 7)) % 50,
    CASE WHEN i % 100 < 46 THEN 'user' WHEN i % 100 < 90 THEN 'assistant'
        WHEN i % 100 < 98 THEN 'tool' ELSE 'system' END,
    CASE WHEN i % 100 BETWEEN 90 AND 97 THEN 'call-' || i END,
    CASE WHEN i % 3 = 0 THEN (ARRAY['mail', 'wiki', 'crm', 'files', 'web'])[1 + i / 3 % 5] END,
    CASE WHEN i % 3 = 0 THEN 'doc-' || i / 3 * 17 % 3000 END
FROM (
    SELECT i, timestamptz '2026-01-01' + i / 100 * interval '77 seconds' AS at
    FROM generate_series(1, current_setting('memingest.rows')::int) i
) x;

INSERT INTO patterns (name, pattern_type, event_time, created_at, description, embedding,
    confidence, usage_count, success_count)
SELECT 'p' || i, 'type' || abs(hashint4(i)) % 50, m.event_time, m.created_at, 'when asked ' || i,
    m.embedding, abs(hashint4(i + 3)) % 10000 / 10000.0, abs(hashint4(i + 5)) % 5000, i % 50
FROM generate_series(1, current_setting('memingest.rows')::int / 10) i
JOIN memory_entries m ON m.namespace = 'n' || i % 20 AND m.key = 'k' || i;

INSERT INTO trajectories (trajectory_id, step_number, event_time, created_at, action, embedding,
    reward)
SELECT 't' || i / 20, i % 20, m.event_time, m.created_at, 'act' || abs(hashint4(i)) % 40,
    m.embedding, abs(hashint4(i + 3)) % 10000 / 10000.0
FROM generate_series(1, current_setting('memingest.rows')::int / 10) i
JOIN memory_entries m ON m.namespace = 'n' || i % 20 AND m.key = 'k' || i;

ANALYZE memory_entries;
ANALYZE patterns;
ANALYZE trajectories;
