CREATE :unlogged TABLE :segment (LIKE :segments INCLUDING CONSTRAINTS):parted;
ALTER TABLE :segment ADD CHECK (segment = :number);
ALTER TABLE :segment ALTER COLUMN near SET STORAGE :near_storage;
