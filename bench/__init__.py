"""What is measured, and pictures for eyes: commands that print or draw, never imported by the jobs."""
