"""From images to captions with a trained model."""
