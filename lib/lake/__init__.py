"""The lake: its tables, their schemas, the Spark session that reads and writes them, and their upkeep."""
