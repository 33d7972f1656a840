-- For those who improve the model: does it get worse as captions get longer?
--
-- The length is the reference's: a caption that went wrong early is short for that reason.
--
-- Columns:
--   length_from: Shortest reference of this row in characters.
--   length_to: Longest reference of this row in characters.
--   num_captions: Captions of images whose reference is that long.
--   exact_match: Fraction of them that equal the reference, 0..1.
--   mean_edit_distance: Mean edit distance in characters.
--   mean_similarity: Mean similarity, 0..1.
--   valid_share: Fraction of them that are well formed, 0..1.
--   mean_confidence: Mean confidence, 0..1.
with measured as (
    select
        *,
        cast(25 * floor(length(reference) / 25) as int) as length_from
    from caption_predictions
    where edit_distance is not null
)
select
    model_version,
    split,
    length_from,
    length_from + 24 as length_to,
    count(*) as num_captions,
    avg(cast(edit_distance = 0 as double)) as exact_match,
    avg(edit_distance) as mean_edit_distance,
    avg(similarity) as mean_similarity,
    avg(cast(is_valid as double)) as valid_share,
    avg(confidence) as mean_confidence
from measured
group by
    model_version,
    split,
    length_from
