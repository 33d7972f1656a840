"""From pictures to captions with a trained model."""
