"""A candidate against the current model: both caption the validation images, and the better one is put in use."""

import logging
from typing import Any

from lib.captioning.caption_prediction import predict_new_images
from lib.captions.model_comparison import compare_models, held_out_images
from lib.captions.reviewed_captions import agreement_with_reviews
from lib.lake.delta_tables import Lake
from lib.lake.model_promotions import PROMOTED, REFUSED, last_decision, record_decision
from lib.lake.models import Model, has_current_model, lasting_name, make_current, resolve_model, withdrawal_of
from lib.settings import Settings

logger = logging.getLogger(__name__)


def promote_if_better(lake: Lake, settings: Settings, name: str) -> None:
    """Compare the model of that name with the current one, and put it in use if it is better; say why if it is not.

    Raises MissingInputError if there is no such model or nothing to compare by, SettingsError if one of the two does
    not fit the settings, RuntimeMissingError if sentences cannot be scored.
    """
    candidate = resolve_model(lake.storage, name, settings.dataset)
    if (why := withdrawal_of(candidate.directory)) is not None:
        logger.info("model %s was withdrawn (%s), so it is not a candidate", candidate.version, why)
        return
    if not has_current_model(lake.storage):
        _promote(lake, candidate, None, "there is no current model to compare with", None)
        return
    champion = resolve_model(lake.storage, "current", settings.dataset)
    if champion.version == candidate.version:
        logger.info(
            "model %s is the current one and there is no other candidate: train one, or name one", candidate.version
        )
        return
    images = held_out_images(lake)
    for model in (candidate, champion):
        prediction = settings.prediction.model_copy(update={"model_version": lasting_name(model)})
        predict_new_images(lake, settings.model_copy(update={"prediction": prediction}), only=images)
    as_sentences = settings.evaluation.scores_sentences
    verdict = compare_models(lake, candidate.version, champion.version, settings.promotion, as_sentences)
    if (reviewed := agreement_with_reviews(lake, candidate.version, champion.version)) is not None:
        verdict = verdict._replace(reason=f"{verdict.reason}; {reviewed}")
    if verdict.is_better:
        _promote(lake, candidate, champion.version, verdict.reason, verdict.figures)
        return
    known = last_decision(lake, candidate.version, REFUSED)
    if known is None or (known.champion, known.reason) != (champion.version, verdict.reason):
        record_decision(lake, candidate.version, champion.version, REFUSED, verdict.reason, verdict.figures)
    logger.info("model %s is not promoted: %s", candidate.version, verdict.reason)


def _promote(lake: Lake, model: Model, champion: str | None, reason: str, figures: dict[str, Any] | None) -> None:
    record_decision(lake, model.version, champion, PROMOTED, reason, figures)
    make_current(lake.storage, lasting_name(model))
    logger.info("model %s is current now: %s", model.version, reason)
