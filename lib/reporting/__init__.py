"""What a person reads of a run: the report, its charts and pictures, the summary."""
