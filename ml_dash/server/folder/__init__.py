"""A folder of runs, served as it lies: the database only says what is where in its files."""
