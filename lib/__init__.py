"""Spark, Delta, OpenCV, Ray and chemistry: everything between the jobs and the network."""
