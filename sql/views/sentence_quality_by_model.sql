-- For those who compare models that write sentences: how good is each on each split, beside controls?
--
-- Models whose captions are not scored as sentences (evaluation.metrics) are left out. CIDEr compares models on the
-- same images of the same split alone.
--
-- Columns:
--   model_version: Model, named by the settings, data and weights that made it.
--   split: train, validation or test.
--   num_sentences: Images scored as sentences.
--   constant_caption_cider: CIDEr of one caption for all images: what blindness gets.
--   shuffled_pictures_cider: CIDEr of the model's own captions on the wrong images.
--   nearest_neighbour_cider: CIDEr of the captions of the most similar train images; null without image_features.
--   nearest_neighbour_bleu_4: BLEU-4 of the same.
--   cider_above_controls: CIDEr less the best control's; at or below 0 the model adds nothing to them.
with controls as (
    select
        model_version,
        split,
        max(cider) filter (where predictor = 'constant_caption') as constant_caption_cider,
        max(cider) filter (where predictor = 'shuffled_pictures') as shuffled_pictures_cider,
        max(cider) filter (where predictor = 'nearest_neighbour') as nearest_neighbour_cider,
        max(bleu_4) filter (where predictor = 'nearest_neighbour') as nearest_neighbour_bleu_4
    from evaluations
    group by
        model_version,
        split
)
select
    evaluations.model_version,
    evaluations.split,
    num_sentences,
    bleu_1,
    bleu_2,
    bleu_3,
    bleu_4,
    nearest_neighbour_bleu_4,
    meteor,
    rouge_l,
    cider,
    constant_caption_cider,
    shuffled_pictures_cider,
    nearest_neighbour_cider,
    -- greatest passes over a control that there is none of
    cider - greatest(constant_caption_cider, shuffled_pictures_cider, nearest_neighbour_cider) as cider_above_controls,
    mean_confidence,
    evaluated_at
from evaluations
join controls
    on controls.model_version = evaluations.model_version
    and controls.split = evaluations.split
where predictor = 'model'
    and cider is not null
