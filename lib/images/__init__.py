"""Cleaning of images, and the Spark job around it."""
