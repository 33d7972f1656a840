"""Training on the lake's captions, with Ray or Horovod."""
