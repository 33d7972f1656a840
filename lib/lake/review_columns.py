"""The columns of a review, once: Spark's schema and the review page, which has no Spark, are made from them."""

VERDICTS = {
    "accept": "the caption is right",
    "wrong": "the caption is wrong",
    "correct": "the caption is wrong, and corrected_caption is right",
    "skip": "the reviewer cannot tell",
    "undo": "the review that undoes names is taken back",
}

_EXPLAINED = "; ".join(f"{verdict}: {meaning}" for verdict, meaning in VERDICTS.items())

# Type and comment by name.
REVIEW_COLUMNS = {
    "review_id": ("string", "The page's id of the review: sent twice, it is still one row."),
    "image_id": ("string", "The image that was reviewed."),
    "model_version": ("string", "The model whose caption was reviewed."),
    "caption": ("string", "The caption that was reviewed, as the reviewer saw it; null where there was none."),
    "verdict": ("string", f"What the reviewer found. {_EXPLAINED}."),
    "rating": ("int", "How useful the caption is to the reviewer, from 1 (useless) to 5 (perfect); null if not said."),
    "corrected_caption": (
        "string",
        "The right caption, in standard form of its notation; null unless verdict is correct.",
    ),
    "reviewer": (
        "string",
        "Who reviewed, or took a review back: the name of an API key, or the one that a proxy gave.",
    ),
    "undoes": ("string", "The review_id that is taken back; null unless verdict is undo."),
    "reviewed_at": ("timestamp", "When the page took the review (UTC)."),
}
REVIEWS_KEY = ("review_id",)
REVIEWS_COMMENT = "What people found of predicted captions, one row a review, never changed. The review page writes it."
