"""The report's headline: figures beside their controls, and a verdict on whether the model beats them."""

from pyspark.sql import Row

from lib.captions.predictors import LABELS, MODEL

CLEARLY_ABOVE = 0.05  # similarity or CIDEr above the better control from which the model is called better than chance
FEW_IMAGES = 100
Figures = tuple[tuple[str, str, str, str], ...]  # label, what it means, how to format it, column of evaluations
FIGURES: Figures = (
    ("Mean similarity", "1 is equal, 0 has nothing in common", "score", "mean_similarity"),
    ("Exactly right", "equal to the reference", "percent", "exact_match"),
    ("Mean edit distance", "characters to change", "distance", "mean_edit_distance"),
    ("Well formed", "captions that their notation accepts", "percent", "valid_share"),
    (
        "Mean confidence",
        "probability of a caption; of a sentence, the geometric mean probability of its words",
        "score",
        "mean_confidence",
    ),
)
SENTENCE_FIGURES: Figures = (
    ("CIDEr", "words that tell this image from others", "metric", "cider"),
    ("BLEU-1", "words that are in a reference", "metric", "bleu_1"),
    ("BLEU-4", "sequences of up to four words", "metric", "bleu_4"),
    ("METEOR", "words, stems and synonyms", "metric", "meteor"),
    ("ROUGE-L", "longest common sequence of words", "metric", "rouge_l"),
    ("Mean confidence", "geometric mean probability of a word", "score", "mean_confidence"),
)


def is_of_sentences(evaluations: dict[str, Row]) -> bool:
    """Whether the captions of a split, given by predictor, were scored as sentences."""
    return evaluations[MODEL].cider is not None


def headline(evaluations: dict[str, Row]) -> list[tuple[str, str, str, dict[str, float | None]]]:
    """Cards: (label, what it means, how to format it, value by predictor)."""
    return [
        (label, meaning, kind, {one: evaluations[one][column] if one in evaluations else None for one in LABELS})
        for label, meaning, kind, column in (SENTENCE_FIGURES if is_of_sentences(evaluations) else FIGURES)
    ]


def verdict(evaluations: dict[str, Row]) -> tuple[str, str]:
    """A word and a sentence on whether the model beats controls that ignore the image.

    It should also do better than the captions of the most similar train images, where there are any. Sentences are
    judged by CIDEr, other captions by similarity.
    """
    name, column = ("CIDEr", "cider") if is_of_sentences(evaluations) else ("mean similarity", "mean_similarity")
    model = evaluations[MODEL]
    score, constant, shuffled, nearest = (
        evaluations[predictor][column] if predictor in evaluations else None for predictor in LABELS
    )
    controls = [control for control in (constant, shuffled) if control is not None]
    figures = f"The model's {name} on {model.split} is {score:.2f}"
    if constant is not None:
        figures += f"; a constant caption gets {constant:.2f}"
    if shuffled is not None:
        figures += f"; the model's own captions on the wrong images get {shuffled:.2f}"
    if nearest is not None:
        figures += f"; the captions of the most similar train images get {nearest:.2f}"
    if not controls:
        return "unknown", f"{figures}; there is no control to compare it with."
    margin = score - max(controls)
    if margin <= 0:
        word, meaning = "chance", "That is no better than chance: nothing shows that the model uses the images."
    elif margin < CLEARLY_ABOVE:
        word, meaning = "barely", f"That is above chance by only {margin:.2f}: too little to rely on."
    elif nearest is not None and score <= nearest:
        word, meaning = "barely", "That is above chance, but no better than the captions of similar train images."
    else:
        word, meaning = "better", f"That is {margin:.2f} above chance: the model reads the images."
    if model.num_images < FEW_IMAGES:
        meaning += f" Only {model.num_images} images were scored; others may come out differently."
    return word, f"{figures}. {meaning}"
