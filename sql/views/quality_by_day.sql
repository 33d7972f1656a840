-- For those who watch the nightly runs: how many captions did each model write on each day, and how good are they?
--
-- Images without a reference are counted too, with a split of null; only validity and confidence are known of them.
--
-- Columns:
--   day: Day on which the captions were written (UTC, unless the session has another time zone).
--   num_captions: Captions written on that day.
--   num_scored: Of these, captions of images with a reference: what distances and similarities are means of.
--   exact_match: Fraction of the scored captions that equal the reference, 0..1.
--   mean_edit_distance: Mean edit distance in characters.
--   mean_similarity: Mean similarity, 0..1.
--   valid_share: Fraction of captions that are well formed, 0..1.
--   mean_confidence: Mean confidence, 0..1.
--   constant_caption_distance: Mean edit distance in characters of one caption for all images of the split.
--   constant_caption_similarity: Mean similarity of one caption for all images of the split, 0..1.
--   shuffled_pictures_distance: Mean edit distance in characters of the model's captions on the wrong images.
--   shuffled_pictures_similarity: Mean similarity of the model's captions on the wrong images, 0..1.
with days as (
    select
        to_date(predicted_at) as day,
        model_version,
        split,
        count(*) as num_captions,
        count(edit_distance) as num_scored,
        avg(cast(edit_distance = 0 as double)) as exact_match,
        avg(edit_distance) as mean_edit_distance,
        avg(similarity) as mean_similarity,
        avg(cast(is_valid as double)) as valid_share,
        avg(confidence) as mean_confidence
    from caption_predictions
    group by
        to_date(predicted_at),
        model_version,
        split
)
select
    days.day,
    days.model_version,
    days.split,
    days.num_captions,
    days.num_scored,
    days.exact_match,
    days.mean_edit_distance,
    quality_by_model.constant_caption_distance,
    quality_by_model.shuffled_pictures_distance,
    days.mean_similarity,
    quality_by_model.constant_caption_similarity,
    quality_by_model.shuffled_pictures_similarity,
    days.valid_share,
    days.mean_confidence
from days
left join quality_by_model
    on quality_by_model.model_version = days.model_version
    and quality_by_model.split = days.split
