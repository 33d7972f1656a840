"""From which stability index the confidences have changed, and how many captions it takes to tell."""

CHANGED_FROM, CHANGED_A_LOT_FROM = 0.1, 0.25  # by custom
NUM_TELLING = 200  # captions on either side; the index of fewer is above 0.1 by chance, being about 9 (1 / n + 1 / m)
