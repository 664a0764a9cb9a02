"""PostgreSQL: the only place with SQL. Moves bytes and rows; decides nothing, decrypts nothing."""
