CREATE TABLE :segments (
    segment integer NOT NULL,
    part integer NOT NULL,
    :segment_columns,
    search_xid xid8,
    near :near_type NOT NULL
) PARTITION BY LIST (segment);
COMMENT ON TABLE :segments IS :note;
