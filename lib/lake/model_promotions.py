"""Which model is put in use: offered by training, chosen by hand or rolled back to, each decision a row."""

import logging
from typing import Any, Literal

import pyspark.sql.functions as F
from pyspark.sql import Row

from lib.errors import MissingInputError
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.models import (
    WITHDRAWN,
    Model,
    current_model,
    has_current_model,
    lasting_name,
    make_candidate,
    make_current,
    resolve_model,
    withdraw,
    withdrawal_of,
)
from lib.lake.schemas import MODEL_PROMOTIONS
from model.checkpoint import PRETRAINED

logger = logging.getLogger(__name__)

PROMOTED, REFUSED, CHOSEN, ROLLED_BACK = "promoted", "refused", "chosen", "rolled_back"


def record_decision(
    lake: Lake, candidate: str, champion: str | None, decision: str, reason: str, figures: dict[str, Any] | None = None
) -> None:
    """Write a row of model_promotions; `figures` are its columns on the comparison, null without them."""
    known = {"candidate": candidate, "champion": champion, "decision": decision, "reason": reason}
    row = dict.fromkeys(MODEL_PROMOTIONS.schema.names) | (figures or {}) | known | {"decided_at": commit_time()}
    lake.insert_new("model_promotions", lake.spark.createDataFrame([Row(**row)], MODEL_PROMOTIONS.schema))


def last_decision(lake: Lake, candidate: str, *decisions: str) -> Row | None:
    """The newest row on a candidate with one of the decisions."""
    rows = lake.read("model_promotions").where(F.col("candidate") == candidate)
    return rows.where(F.col("decision").isin(*decisions)).orderBy(F.desc("decided_at")).first()


def offer_trained(lake: Lake, model_version: str, decided_by: Literal["training", "comparison"]) -> None:
    """Make a trained model the candidate; in use at once if training decides, or if there is no other.

    May be repeated: a row is written before the model is in use, so one that a kill kept out is put in use next time.
    """
    make_candidate(lake.storage, model_version)
    champion = current_model(lake.storage) if has_current_model(lake.storage) else None
    if champion not in (None, model_version):
        if decided_by == "comparison":
            logger.info(
                "model %s is the candidate: promote_model puts it in use if it is better than %s",
                model_version,
                champion,
            )
            return
        record_decision(lake, model_version, champion, PROMOTED, "promotion.decided_by is training")
    make_current(lake.storage, model_version)


def choose(lake: Lake, name: str, dataset: str) -> Model:
    """Put the model of that name in use, whatever its scores; the one in use before is withdrawn.

    Raises MissingInputError if there is none, SettingsError if it is the pretrained one of a dataset that has none.
    """
    return _replace_by_hand(lake, resolve_model(lake.storage, name, dataset), dataset, CHOSEN)


def roll_back(lake: Lake, dataset: str) -> Model:
    """Put that model in use again that the current one replaced; the current one is withdrawn.

    Raises MissingInputError if no row of model_promotions tells which it was, or if it is gone.
    """
    current = current_model(lake.storage)
    version = resolve_model(lake.storage, current, dataset).version
    replaced = last_decision(lake, version, PROMOTED, CHOSEN)
    if replaced is None or replaced.champion is None:
        raise MissingInputError(
            f"model_promotions tells of no model that {version} replaced: name one with promote_model --to"
        )
    return _replace_by_hand(lake, resolve_model(lake.storage, replaced.champion, dataset), dataset, ROLLED_BACK)


def _replace_by_hand(lake: Lake, model: Model, dataset: str, decision: str) -> Model:
    try:
        champion = resolve_model(lake.storage, current_model(lake.storage), dataset)
    except MissingInputError:  # there was none, or it is gone: all the more is this one wanted
        champion = None
    before = champion.version if champion else None
    if before == model.version and withdrawal_of(model.directory) is None:
        logger.info("model %s is the current one already", model.version)
        return model
    record_decision(lake, model.version, before, decision, "promote_model was told to")
    # A withdrawn model that is current is refused in a sentence: so a kill in here never leaves the wrong one in use.
    if champion and before != model.version and not champion.directory.is_relative_to(PRETRAINED):
        withdraw(champion.directory, f"promote_model put {model.version} in its place")
    (model.directory / WITHDRAWN).unlink(missing_ok=True)
    make_current(lake.storage, lasting_name(model))
    logger.info("model %s is current; before it was %s", model.version, before or "none")
    return model
