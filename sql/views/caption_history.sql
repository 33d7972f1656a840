-- For those who ask why a caption changed: what has each model written about an image, one after the other?
--
-- Of one image:  select * from caption_history where image_id = 'a1' order by version_number
-- What wrote a row: model_version leads to model_lineage; what a row said before it was written again is in
-- sql/queries/captions_changed_since.sql.
--
-- Columns:
--   version_number: 1 for the first caption of the image, 2 for that of the next model, and so on.
--   caption_before: Caption of the model before; null for the first.
--   is_changed: Whether the caption differs from the one before; null for the first.
--   edit_distance_change: Edit distance less that of the model before, in characters; below 0 is better.
with versions as (
    select
        *,
        row_number() over by_time as version_number,
        lag(caption) over by_time as caption_before,
        lag(edit_distance) over by_time as edit_distance_before
    from caption_predictions
    window by_time as (
        partition by image_id
        order by predicted_at, model_version
    )
)
select
    image_id,
    version_number,
    model_version,
    caption,
    caption_before,
    if(version_number > 1, not (caption <=> caption_before), null) as is_changed,
    confidence,
    is_valid,
    reference,
    edit_distance,
    edit_distance - edit_distance_before as edit_distance_change,
    similarity,
    split,
    cleaning_version,
    predicted_at
from versions
