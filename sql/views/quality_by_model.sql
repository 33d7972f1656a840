-- For those who compare models: how good is each on each split, beside captions that were made without looking?
--
-- Columns:
--   constant_caption_distance: Mean edit distance in characters of one caption for all images: what blindness gets.
--   constant_caption_similarity: Mean similarity of one caption for all images, 0..1: what blindness gets.
--   shuffled_pictures_distance: Mean edit distance in characters of the model's own captions on the wrong images.
--   shuffled_pictures_similarity: Mean similarity of the model's own captions on the wrong images, 0..1.
--   similarity_above_chance: Mean similarity less the better control's; at or below 0 the model shows no skill.
with controls as (
    select
        model_version,
        split,
        max(mean_edit_distance) filter (where predictor = 'constant_caption') as constant_caption_distance,
        max(mean_similarity) filter (where predictor = 'constant_caption') as constant_caption_similarity,
        max(mean_edit_distance) filter (where predictor = 'shuffled_pictures') as shuffled_pictures_distance,
        max(mean_similarity) filter (where predictor = 'shuffled_pictures') as shuffled_pictures_similarity
    from evaluations
    group by
        model_version,
        split
)
select
    evaluations.model_version,
    evaluations.split,
    num_images,
    exact_match,
    mean_edit_distance,
    constant_caption_distance,
    shuffled_pictures_distance,
    mean_similarity,
    constant_caption_similarity,
    shuffled_pictures_similarity,
    -- greatest passes over a control that there is none of
    mean_similarity - greatest(constant_caption_similarity, shuffled_pictures_similarity) as similarity_above_chance,
    valid_share,
    mean_confidence,
    evaluated_at
from evaluations
join controls
    on controls.model_version = evaluations.model_version
    and controls.split = evaluations.split
where predictor = 'model'
