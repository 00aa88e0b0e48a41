GRANT SELECT ON :segments TO :role;
GRANT EXECUTE ON FUNCTION :search, :candidates, :scope TO :role;
