"""What is measured, and images for eyes: commands that print or draw, never imported by the jobs."""
