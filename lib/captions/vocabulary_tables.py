"""The vocabulary table: which tokens the train captions use, how often, and under which id the network knows them."""

import logging

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lib.captions.reviewed_captions import with_reviewed
from lib.captions.writings import writing_of
from lib.errors import MissingInputError
from lib.fingerprints import fingerprint
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.row_fingerprints import fingerprint_of_rows
from lib.lake.schemas import VOCABULARY
from lib.sections.captions import CaptionSettings
from model.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def vocabulary_version(settings: CaptionSettings) -> str:
    """A name for the settings that determine tokens and which of them are kept."""
    return fingerprint(settings.notation, settings.min_token_uses)


def build_vocabulary(lake: Lake, settings: CaptionSettings) -> None:
    """Count the tokens of the train captions and write the vocabulary; reviewed captions count as in training.

    What is up to date is left.

    Raises MissingInputError if there are no train captions in the notation that the settings name, or all their tokens
    are too rare.
    """
    version = vocabulary_version(settings)
    captions = lake.require("captions")
    train = with_reviewed(lake, captions, settings).where(F.col("split") == "train")
    built = lake.read("vocabulary").where(F.col("vocabulary_version") == version)
    # Before the tokens are counted: captions that arrive in between make the next run build it again.
    captions_fingerprint = fingerprint_of_rows(train.select("caption"))
    if not built.where(F.col("captions_fingerprint") == captions_fingerprint).isEmpty():
        logger.info("up to date")
        return
    tokenized = train.select(writing_of(F.col("caption"), settings.notation)["tokens"].alias("tokens"))
    counts = tokenized.select(F.explode("tokens").alias("token")).groupBy("token").agg(F.count("*").alias("num_uses"))
    is_frequent = F.col("num_uses") >= settings.min_token_uses
    num_uses = {row.token: row.num_uses for row in counts.where(is_frequent).collect()}
    num_foreign = tokenized.where(F.col("tokens").isNull()).count()
    if not num_uses and not counts.isEmpty():
        raise MissingInputError(
            f"no token of the train captions is used captions.min_token_uses {settings.min_token_uses} times or more: "
            "set it lower, or put more captions into the landing zone"
        )
    if not num_uses:
        raise MissingInputError(
            f"no train caption can be written in notation {settings.notation!r}: check captions.notation "
            "and the captions files (captions.reviewed takes what reviewers wrote)"
        )
    vocabulary = Vocabulary.from_tokens(num_uses)
    now = commit_time()
    rows = [
        (settings.notation, token, token_id, num_uses.get(token, 0), version, now, captions_fingerprint)
        for token_id, token in enumerate(vocabulary.tokens)
    ]
    lake.replace("vocabulary", lake.spark.createDataFrame(rows, VOCABULARY.schema))
    logger.info(
        "%d tokens; %d train captions are not in notation %s and will not be trained on",
        len(vocabulary.tokens),
        num_foreign,
        settings.notation,
    )
    if settings.min_token_uses > 1:
        _log_rare(counts.where(~is_frequent), sum(num_uses.values()), settings.min_token_uses)


def _log_rare(counts: DataFrame, num_other_uses: int, min_token_uses: int) -> None:
    """Say how many tokens are too rare for the vocabulary."""
    rare = counts.agg(F.count("*").alias("num_tokens"), F.sum("num_uses").alias("num_uses")).first()
    if rare is not None and rare.num_tokens:
        logger.info(
            "%d tokens are used less than captions.min_token_uses %d times and left out: %.1f %% of all uses",
            rare.num_tokens,
            min_token_uses,
            100 * rare.num_uses / (rare.num_uses + num_other_uses),
        )


def read_vocabulary(lake: Lake, settings: CaptionSettings) -> Vocabulary:
    """The vocabulary that build_vocabulary wrote for these settings."""
    rows = (
        lake.require("vocabulary")
        .where(F.col("vocabulary_version") == vocabulary_version(settings))
        .orderBy("token_id")
        .select("token")
        .collect()
    )
    if not rows:
        raise MissingInputError("the vocabulary was built with other caption settings: run build_vocabulary again")
    return Vocabulary(tuple(row.token for row in rows))
