CREATE :unlogged TABLE :part_name PARTITION OF :segment FOR VALUES IN (:part);
INSERT INTO :segment
SELECT t.segment, :part, :row_columns, t.search_xid, t.near
FROM :segment t
WHERE t.part = 0 AND t.:filter = :value;
