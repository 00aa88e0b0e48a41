-- The table as of one moment: of each row its key, a hash of the columns that can be judged, and
-- its version.
CREATE UNLOGGED TABLE :was AS
SELECT :keys, :hash AS _hash, :version AS _version FROM :table AS t
WHERE :sample;
