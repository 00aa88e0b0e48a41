-- What the worker remembers of models that make vectors. Run as often as you like; made only where
-- a stream makes vectors. Each statement ends with a semicolon at the end of a line.

-- A model by the name that its server knows. canary: what a fixed text was made into when the
-- model was first used, as big-endian float4; another model under the same name makes another one
-- of it, and is halted. A row that is deleted makes room for it, under another id.
CREATE TABLE IF NOT EXISTS memingest.embed_models (
    id         bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    model      text        NOT NULL PRIMARY KEY,
    canary     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Vectors that were paid for, as big-endian float4, not normalized. digest: SHA-256 of model,
-- prefix and text. Nothing depends on it: rows may be deleted at any time.
CREATE TABLE IF NOT EXISTS memingest.embed_cache (
    model_id bigint      NOT NULL,
    digest   bytea       NOT NULL,
    vector   bytea       NOT NULL,
    used_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_id, digest)
);

CREATE INDEX IF NOT EXISTS embed_cache_used_at ON memingest.embed_cache (model_id, used_at);
