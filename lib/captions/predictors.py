"""Whose captions are scored: the model's and those of controls, which repeat captions or look at no image."""

MODEL, CONSTANT_CAPTION, SHUFFLED_PICTURES = "model", "constant_caption", "shuffled_pictures"
NEAREST_NEIGHBOUR = "nearest_neighbour"  # scored where images have features

LABELS = {  # in the order in which they are shown
    MODEL: "model",
    CONSTANT_CAPTION: "constant caption",
    SHUFFLED_PICTURES: "shuffled images",
    NEAREST_NEIGHBOUR: "nearest neighbour",
}
