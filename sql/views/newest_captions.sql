-- For everyone who needs one caption per image: the newest, written by the model that captioned the image last.
with ranked as (
    select
        *,
        row_number() over (
            partition by image_id
            order by predicted_at desc, model_version
        ) as newness
    from caption_predictions
)
select
    image_id,
    caption,
    confidence,
    is_valid,
    alternatives,
    reference,
    edit_distance,
    similarity,
    split,
    model_version,
    cleaning_version,
    predicted_at
from ranked
where newness = 1
