-- What the topic says is built here, by the worker's own merge: the stream's columns as the table
-- has them, and its key. Nothing else of the table can be needed: events that a constraint or a
-- trigger refused are dead letters, which are not read again.
CREATE UNLOGGED TABLE :rows WITH (toast_tuple_target = 8160, autovacuum_enabled = false) AS
SELECT :columns FROM :table WITH NO DATA;
ALTER TABLE :rows ADD PRIMARY KEY (:keys):own_columns;
