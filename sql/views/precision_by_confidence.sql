-- For those who set review_thresholds: how often do people accept captions of which the model is that sure?
--
-- Columns:
--   confidence_from: Lowest confidence of this row, 0..1.
--   confidence_to: Confidence at which the next row begins, 0..1.
--   num_captions: Captions with that confidence that were accepted, found wrong or corrected.
--   mean_confidence: Their mean confidence, 0..1.
--   precision: Fraction of them that people accept, 0..1; one caption counts once, by the fraction of its reviewers.
--   mean_rating: Their mean rating, 1..5; null if none was rated.
--
-- A caption that was replaced after its review is left out: people have not seen the new one.
with judged as (
    select
        image_id,
        model_version,
        caption,
        avg(cast(verdict = 'accept' as double)) as accepted,
        avg(rating) as rating
    from standing_reviews
    where verdict in ('accept', 'wrong', 'correct')
    group by
        image_id,
        model_version,
        caption
),
measured as (
    select
        judged.model_version,
        judged.accepted,
        judged.rating,
        predicted.confidence,
        least(floor(10 * predicted.confidence), 9) as tenth  -- a confidence of 1 belongs to the last row
    from judged
    join caption_predictions as predicted
        on predicted.image_id = judged.image_id
        and predicted.model_version = judged.model_version
        and predicted.caption <=> judged.caption
    where predicted.confidence is not null
)
select
    model_version,
    tenth / 10 as confidence_from,
    (tenth + 1) / 10 as confidence_to,
    count(*) as num_captions,
    avg(confidence) as mean_confidence,
    avg(accepted) as precision,
    avg(rating) as mean_rating
from measured
group by
    model_version,
    tenth
