"""Cleaning of pictures, and the Spark job around it."""
