-- For those who set review_thresholds: how often is the model right when it is that sure?
--
-- Columns:
--   confidence_from: Lowest confidence of this row, 0..1.
--   confidence_to: Confidence at which the next row begins, 0..1.
--   num_captions: Captions of images with a reference and with that confidence.
--   mean_confidence: Their mean confidence, 0..1.
--   exact_match: Fraction of them that equal the reference, 0..1.
--   mean_similarity: Their mean similarity, 0..1.
--   valid_share: Fraction of them that are well formed, 0..1.
with measured as (
    select
        *,
        least(floor(10 * confidence), 9) as tenth  -- a confidence of 1 belongs to the last row
    from caption_predictions
    where edit_distance is not null
        and confidence is not null
)
select
    model_version,
    split,
    tenth / 10 as confidence_from,
    (tenth + 1) / 10 as confidence_to,
    count(*) as num_captions,
    avg(confidence) as mean_confidence,
    avg(cast(edit_distance = 0 as double)) as exact_match,
    avg(similarity) as mean_similarity,
    avg(cast(is_valid as double)) as valid_share
from measured
group by
    model_version,
    split,
    tenth
