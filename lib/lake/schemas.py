"""Every table: its columns with the comments analysts see, its key, and one sentence on what it holds."""

from dataclasses import dataclass

import pyspark.sql.types as T

from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.lake.review_columns import REVIEW_COLUMNS, REVIEWS_COMMENT, REVIEWS_KEY


@dataclass(frozen=True)
class Table:
    """A table of the lake: `key` names the columns that no two rows share."""

    name: str
    key: tuple[str, ...]
    comment: str
    made_by: str  # the job that makes it first, and what of: "JOB makes it ..."
    schema: T.StructType

    @property
    def job(self) -> str:
        """The job to run for the table."""
        return self.made_by.split(maxsplit=1)[0]


def _column(name: str, data_type: T.DataType, comment: str) -> T.StructField:
    return T.StructField(name, data_type, nullable=True, metadata={"comment": comment})


_TEXT, _INT, _LONG, _DOUBLE, _FLOAT = T.StringType(), T.IntegerType(), T.LongType(), T.DoubleType(), T.FloatType()
_TIME, _BYTES, _BOOLEAN = T.TimestampType(), T.BinaryType(), T.BooleanType()

IMAGE_ID = _column("image_id", _TEXT, "The image: its file name, or its path (landing.image_id), without suffix.")
MODEL_VERSION = _column("model_version", _TEXT, "Model, named by the settings, data and weights that made it.")

LANDING_FILES = Table(
    "landing_files",
    ("path",),
    "Archives, caption and layout files that were read to their end, so that an unchanged one is not opened again.",
    "ingest_images makes it",
    T.StructType(
        [
            _column("path", _TEXT, "Where the file lies."),
            _column("num_bytes", _LONG, "Its size when it was read, in bytes."),
            _column(
                "modified_at",
                _TEXT,
                "Its time stamp or entity tag when it was read, as the storage gave it, "
                "and a name of the settings it was read by.",
            ),
            _column("ingested_at", _TIME, "When it was read (UTC)."),
        ]
    ),
)

IMAGES_RAW = Table(
    "images_raw",
    ("image_id",),
    "Images as they arrived, one row each.",
    "ingest_images makes it",
    T.StructType(
        [
            IMAGE_ID,
            _column("source", _TEXT, "Where it came from: a path, followed by '!' and the member if in an archive."),
            _column("num_bytes", _LONG, "Size of the image file in bytes."),
            _column("sha256", _TEXT, "SHA-256 of its bytes, in hexadecimal."),
            _column("ingested_at", _TIME, "When these bytes were taken in (UTC); one value per commit."),
            _column("image", _BYTES, "The file's bytes, untouched."),
            _column(
                "file_version",
                _TEXT,
                "What tells versions of the file apart beside its size: time stamp, entity tag or checksum; "
                "null if it was taken in before version 0.3.",
            ),
            _column("is_replaced", _BOOLEAN, "Whether these are the bytes of a later version of the file."),
        ]
    ),
)

REJECTION_REASONS = {
    "too_many_bytes": "the file is larger than landing.max_image_bytes",
    "decompression_bomb": "an archive member unpacks to more than landing.max_image_bytes",
    "unsafe_path": "an archive member's path climbs out of the archive",
    "unreadable_archive": "the archive is damaged or is no archive: the members before the damage are kept",
    "unreadable_member": "the member's bytes do not match its checksum, or it is encrypted",
    "unreadable_file": "a link to nothing, no file, or one that may not be opened or became shorter while it was read",
    "unreadable_name": "a name that is neither UTF-8 nor, for archive members, in landing.member_name_encoding, "
    "or that a member of an archive would have",
    "unsupported_format": "images or archives of a format that is not read: convert them",
    "duplicate_image_id": "another image has this image_id: of equal ones one is kept, of different ones the one "
    "taken in earlier, if any (landing.image_id)",
    "empty_file": "no bytes",
    "not_an_image": "the bytes are of no known image format",
    "corrupt_image": "the image is truncated or damaged, or has more scans or copies than any program writes",
    "out_of_memory": "the machine had too little memory to clean it: the next run tries again",
    "too_many_pixels": "width times height is above cleaning.max_pixels, or a side is longer than 1,048,576",
    "many_pages": "several pages or moving images in one file: save each as a file of its own",
    "blank_image": "no ink, or nothing but ink",
    "no_drawing": "a line, circle, frame or blob alone, or ink no larger than a stroke (cleaning.rejects_shapes)",
    "uneven_row": "a row of a captions file with more or fewer fields than its header: commas in captions need quotes",
    "repeated_header": "a row of a captions file that is its header again, or that follows one with its columns in "
    "another order: several files were joined to one",
    "unpaired_quote": "a row of a captions file whose quotation marks do not pair, or that may be a middle line of a "
    "caption of several lines: a row is one line",
    "unreadable_row": "a row of a captions file that is no text in its encoding (landing.captions_encoding), or longer "
    "than 1,000,000 characters",
    "other_notation": "a caption that does not begin as captions of captions.notation do, and that is not converted "
    "(landing.captions_notation)",
    "unlisted_image": "a caption of a COCO file whose image_id is not in the file's list of images",
    "empty_caption": "a row of a captions file without image_id or without caption",
    "other_folder": "a caption whose row names other folders than its image lies in, or that lies beside a rejected "
    "image of its name, or an image of no folder that captions of several folders are for (landing.image_id)",
    "too_many_captions": "more captions for one image than landing.max_captions_per_image",
}

_EXPLAINED = "; ".join(f"{reason}: {meaning}" for reason, meaning in REJECTION_REASONS.items())

IMAGES_REJECTED = Table(
    "images_rejected",
    ("image_id", "stage", "source"),
    "Images and rows of caption files that were rejected, and why. Images that arrived = images_raw + rows of stage "
    "ingest; images_raw = images_clean + rows of stage clean.",
    "ingest_images and clean_images make it for what they reject",
    T.StructType(
        [
            IMAGE_ID,
            _column("stage", _TEXT, "Step that rejected it: ingest, clean, or captions for a row of a captions file."),
            _column("reason", _TEXT, f"Why. {_EXPLAINED}."),
            _column("detail", _TEXT, "What was seen, for people."),
            _column("source", _TEXT, "Where it came from, as in images_raw; of a caption file with the row."),
            _column(
                "cleaning_version",
                _TEXT,
                "Cleaning settings that rejected it; null at ingest, unless they did before another image took its id.",
            ),
            _column("rejected_at", _TIME, "When it was rejected (UTC)."),
        ]
    ),
)

CAPTIONS = Table(
    "captions",
    ("image_id", "caption_index"),
    "Reference captions: what people wrote about the images.",
    "ingest_images makes it from caption files",
    T.StructType(
        [
            IMAGE_ID,
            _column("caption_index", _INT, "0 for the first caption of an image, 1 for its second, and so on."),
            _column("caption", _TEXT, "The caption as it arrived."),
            _column("source", _TEXT, "The file it came from."),
            _column("split", _TEXT, "train, validation or test: by landing.split_files, else by the hash of image_id."),
            _column("ingested_at", _TIME, "When it was taken in (UTC)."),
            _column("row", _LONG, "The row of that file, from 1; null if it was read before version 0.3."),
            _column("path", _TEXT, "The image's path, without suffix, as that row names it; null as above."),
        ]
    ),
)

IMAGE_LAYOUTS = Table(
    "image_layouts",
    ("image_id",),
    "For drawings whose drawer is known: where each atom lies in the arrived image.",
    "ingest_images makes it from layout files",
    T.StructType(
        [
            IMAGE_ID,
            *(
                _column(name, T.ArrayType({"float": _FLOAT, "int": _INT}[kind]), comment)
                for name, (kind, comment) in LAYOUT_COLUMNS.items()
            ),
            _column("source", _TEXT, "The file it came from."),
            _column("ingested_at", _TIME, "When it was taken in (UTC)."),
        ]
    ),
)

IMAGES_CLEAN = Table(
    "images_clean",
    ("image_id",),
    "Cleaned images, ready for the network, with what cleaning did.",
    "clean_images makes it",
    T.StructType(
        [
            IMAGE_ID,
            _column("width", _INT, "Width of the cleaned image in pixels."),
            _column("height", _INT, "Height of the cleaned image in pixels."),
            _column("rotation_deg", _INT, "Quarter turns taken to set it upright, in degrees clockwise: 0 or 90."),
            _column("num_specks_removed", _INT, "Isolated specks that were removed."),
            _column(
                "ink_fraction", _FLOAT, "Fraction of dark pixels in the arrived image after specks were removed, 0..1."
            ),
            _column("transform", T.ArrayType(_DOUBLE), "2 x 3 matrix, row by row, from arrived to cleaned pixels."),
            _column(
                "cleaning_version",
                _TEXT,
                "Hash of the cleaning settings that made it; for an image whose file has been replaced, "
                "followed by the hash of its bytes.",
            ),
            _column("cleaned_at", _TIME, "When it was cleaned (UTC); one value per commit."),
            _column("image", _BYTES, "The cleaned image as PNG."),
            _column(
                "larger_image",
                _BYTES,
                "The same in more detail (cleaning.larger_scale) as PNG; null if it did not arrive larger.",
            ),
        ]
    ),
)

IMAGE_FEATURES = Table(
    "image_features",
    ("image_id",),
    "What a frozen encoder sees in each cleaned image: computed once, read by training and captioning.",
    "extract_features makes it where the encoder is frozen",
    T.StructType(
        [
            IMAGE_ID,
            _column("encoder_version", _TEXT, "Encoder and weights: captioner.encoder, captioner.encoder_weights."),
            _column("cleaning_version", _TEXT, "Cleaning that made the image that it saw."),
            _column("shape", T.ArrayType(_INT), "Features, height and width of the grid."),
            _column("features", _BYTES, "The grid in half precision, as a .npy file."),
            _column("extracted_at", _TIME, "When it was computed (UTC); one value per commit."),
        ]
    ),
)

VOCABULARY = Table(
    "vocabulary",
    ("notation", "token"),
    "Tokens the network writes, with their ids and how often the train captions use them.",
    "build_vocabulary makes it",
    T.StructType(
        [
            _column("notation", _TEXT, "How captions are cut into tokens: see captions.notation."),
            _column("token", _TEXT, "The token."),
            _column("token_id", _INT, "Index in a network that is trained from scratch: special tokens come first."),
            _column("num_uses", _LONG, "How often it stands in the train captions."),
            _column("vocabulary_version", _TEXT, "Hash of the settings that made it."),
            _column("built_at", _TIME, "When the vocabulary was built (UTC)."),
            _column("captions_fingerprint", _TEXT, "Hash of the train captions that it was built from."),
        ]
    ),
)

TRAINING_METRICS = Table(
    "training_metrics",
    ("run_id", "epoch", "step"),
    "How training went: one row per reported step, and one with validation scores per epoch.",
    "train_captioner makes it",
    T.StructType(
        [
            _column("run_id", _TEXT, "Model version that was being trained, and the name of its run in MLflow."),
            _column("epoch", _INT, "Passes over the train split completed before this row."),
            _column("step", _INT, "Optimizer steps taken so far."),
            _column("train_loss", _DOUBLE, "Mean cross-entropy per token since the last row, in nats."),
            _column(
                "validation_loss", _DOUBLE, "Mean cross-entropy per validation token, in nats; null between epochs."
            ),
            _column("validation_token_accuracy", _DOUBLE, "Fraction of right validation tokens, 0..1; null as above."),
            _column(
                "validation_edit_distance",
                _DOUBLE,
                "Mean edit distance of greedily written validation captions, "
                "in characters of the notation (captions.notation), not of the caption; null as above.",
            ),
            _column("learning_rate", _DOUBLE, "Step size of the optimizer."),
            _column("images_per_second", _DOUBLE, "Images trained on per second, over all workers."),
            _column("num_workers", _INT, "Training workers."),
            _column("reported_at", _TIME, "When it was measured (UTC)."),
        ]
    ),
)

ALTERNATIVE = T.StructType(
    [
        _column("caption", _TEXT, "Another caption the model considered."),
        _column("score", _DOUBLE, "Log probability in nats."),
    ]
)

CAPTION_PREDICTIONS = Table(
    "caption_predictions",
    ("image_id", "model_version"),
    "Predicted captions with their edit distance from the reference where there is one.",
    "predict_captions makes it",
    T.StructType(
        [
            IMAGE_ID,
            MODEL_VERSION,
            _column("caption", _TEXT, "The predicted caption."),
            _column(
                "confidence",
                _DOUBLE,
                "Probability that the caption is exactly right, as the model sees it, 0..1; "
                "of a sentence, the geometric mean probability of its words.",
            ),
            _column("is_valid", _BOOLEAN, "Whether the caption is well formed: for InChI, a molecule RDKit accepts."),
            _column("alternatives", T.ArrayType(ALTERNATIVE), "The other captions considered, best first."),
            _column("reference", _TEXT, "Reference caption nearest to the prediction; null where there is none."),
            _column("edit_distance", _INT, "Fewest edits from prediction to reference (Levenshtein), in characters."),
            _column(
                "similarity",
                _DOUBLE,
                "1 - edit_distance / length of the longer, 0..1; unrelated InChIs reach about 0.55.",
            ),
            _column("split", _TEXT, "Split of the image; null where there is no reference."),
            _column("cleaning_version", _TEXT, "Cleaning that made the image the model saw."),
            _column("predicted_at", _TIME, "When it was predicted (UTC)."),
        ]
    ),
)

PERCENTS = (5, 25, 50, 75, 95)  # of the percentiles in `evaluations`
_QUANTILES = [
    _column(f"{measure}_p{percent:02d}", _DOUBLE, f"{percent}th percentile of the {measure.replace('_', ' ')}, {unit}.")
    for measure, unit in (("edit_distance", "in characters"), ("similarity", "0..1"))
    for percent in PERCENTS
]

_OF_SENTENCES = "over all captions at once; null where captions are not scored as sentences"
_SENTENCE_SCORES = [
    _column("num_sentences", _LONG, "Images scored as sentences, whose references have words; null where none are."),
    _column("num_empty_sentences", _LONG, "Of these, images whose caption has no word; null as above."),
    *(
        _column(f"bleu_{n}", _DOUBLE, f"BLEU with sequences of up to {n} words, 0..1, {_OF_SENTENCES}.")
        for n in (1, 2, 3, 4)
    ),
    _column("meteor", _DOUBLE, f"METEOR 1.5 for English, 0..1, {_OF_SENTENCES}."),
    _column("rouge_l", _DOUBLE, f"ROUGE-L, mean of the images, 0..1, {_OF_SENTENCES}."),
    _column(
        "cider",
        _DOUBLE,
        f"CIDEr, mean of the images, 0..10, with document frequencies of the references of "
        f"this split, {_OF_SENTENCES}.",
    ),
]

EVALUATIONS = Table(
    "evaluations",
    ("model_version", "split", "predictor"),
    "Scores of a model on a split, and of the controls that need no model.",
    "evaluate_captions makes it once a captioned image has a reference",
    T.StructType(
        [
            MODEL_VERSION,
            _column("split", _TEXT, "train, validation or test."),
            _column(
                "predictor",
                _TEXT,
                "model, constant_caption (one caption for all), shuffled_pictures (the model's caption of another "
                "image), or nearest_neighbour (the caption of the train image with the most similar features).",
            ),
            _column("num_images", _LONG, "Images scored."),
            _column("exact_match", _DOUBLE, "Fraction of captions equal to the reference, 0..1."),
            _column("mean_edit_distance", _DOUBLE, "Mean edit distance in characters."),
            _column("mean_similarity", _DOUBLE, "Mean similarity, 0..1."),
            _column("valid_share", _DOUBLE, "Fraction of captions that are well formed, 0..1; null for controls."),
            _column("mean_confidence", _DOUBLE, "Mean confidence, 0..1; null for controls."),
            *_QUANTILES,
            _column("control_caption", _TEXT, "The caption that the constant control repeats; null otherwise."),
            _column("evaluated_at", _TIME, "When it was computed (UTC)."),
            *_SENTENCE_SCORES,
            _column(
                "inputs_fingerprint",
                _TEXT,
                "Hash of the predictions, captions and versions of image features that it was computed from.",
            ),
        ]
    ),
)

_OF_A_KIND = T.StructType(
    [
        _column("kind", _TEXT, "The captions file of the images' references."),
        _column("num_images", _LONG, "Images compared."),
        _column("candidate_score", _DOUBLE, "Mean of the metric over their captions by the candidate."),
        _column("champion_score", _DOUBLE, "The same by the champion."),
        _column("gain_from", _DOUBLE, "Lower end of the interval of the gain, as for all images."),
        _column("gain_to", _DOUBLE, "Upper end of it."),
    ]
)

MODEL_PROMOTIONS = Table(
    "model_promotions",
    ("decided_at", "candidate"),
    "Which model was put in use in place of which, or was not, and why.",
    "promote_model makes it, or train_captioner when a model takes another one's place",
    T.StructType(
        [
            _column("candidate", _TEXT, "Model that was to be put in use."),
            _column("champion", _TEXT, "Model in use before; null if there was none."),
            _column(
                "decision",
                _TEXT,
                "promoted or refused (by promote_model, or by training where promotion.decided_by is training); "
                "chosen (promote_model --to) or rolled_back (--back): by hand.",
            ),
            _column("reason", _TEXT, "Why, in one sentence."),
            _column("metric", _TEXT, "edit_distance (in characters) or cider; null where nothing was compared."),
            _column("num_images", _LONG, "Validation images that both captioned; null as above."),
            _column("candidate_score", _DOUBLE, "Mean of the metric over the candidate's captions; null as above."),
            _column("champion_score", _DOUBLE, "Mean of the metric over the champion's captions; null as above."),
            _column(
                "gain_from",
                _DOUBLE,
                "Lower end of the bootstrap interval of the candidate's mean gain: characters fewer, or CIDEr more; "
                "null as above.",
            ),
            _column("gain_to", _DOUBLE, "Upper end of that interval; null as above."),
            _column("by_kind", T.ArrayType(_OF_A_KIND), "The same by kind of image; null as above."),
            _column("decided_at", _TIME, "When it was decided (UTC)."),
        ]
    ),
)

_OF_REVIEWS: dict[str, T.DataType] = {"string": _TEXT, "int": _INT, "timestamp": _TIME}
CAPTION_REVIEWS = Table(
    "caption_reviews",
    REVIEWS_KEY,
    REVIEWS_COMMENT,
    "serve_reviews makes it for what people review on its page",
    T.StructType([_column(name, _OF_REVIEWS[kind], comment) for name, (kind, comment) in REVIEW_COLUMNS.items()]),
)

TABLES = {
    table.name: table
    for table in (
        LANDING_FILES,
        IMAGES_RAW,
        IMAGES_REJECTED,
        CAPTIONS,
        IMAGE_LAYOUTS,
        IMAGES_CLEAN,
        IMAGE_FEATURES,
        VOCABULARY,
        TRAINING_METRICS,
        CAPTION_PREDICTIONS,
        EVALUATIONS,
        MODEL_PROMOTIONS,
        CAPTION_REVIEWS,
    )
}
