"""The rows of the tables of statistics, by family."""
