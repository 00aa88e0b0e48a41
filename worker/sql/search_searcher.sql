GRANT SELECT ON :segments TO :role;
GRANT EXECUTE ON FUNCTION :search, :candidates, :scope:and_live TO :role;
