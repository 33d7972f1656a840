"""Captions over HTTP: requests, batches, processes that caption, and who may ask."""
