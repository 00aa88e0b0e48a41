/*
 * What the functions return. Made anew, and the functions with it, where this or what they take
 * differs: (query vector, k integer:filter_parameters)
 */
CREATE TYPE :candidate AS (:key_columns, search_xid xid8, distance double precision);

CREATE TYPE :found AS (:table_columns, distance double precision);

COMMENT ON TYPE :found IS :note;
