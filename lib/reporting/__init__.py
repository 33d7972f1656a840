"""What a person reads of a run: the report, its charts and images, the summary."""
