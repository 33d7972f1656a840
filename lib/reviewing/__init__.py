"""The page where people review captions: a queue, one image, corrections, and who may review."""
