"""The network, its training and its decoding in plain PyTorch: nothing here knows of Spark, Ray or chemistry."""
