CREATE INDEX ON :segment USING hnsw (near :opclass);
