-- For reviewers: which of the newest captions should a person look at, and why?
--
-- Newest first:  select * from captions_to_review order by predicted_at desc, confidence limit 20
--
-- Columns:
--   reasons: Why: no caption, invalid, low confidence, disputed, far from the reference; several with a comma between them.
--
-- A caption is disputed if one reading of the image gives another caption a probability above max_alternative_probability.
-- Sentences, which have blanks, are not reviewed for that, nor for their distance from a reference: a right one may be
-- worded otherwise.
with judged as (
    select
        newest_captions.*,
        -- concat_ws leaves nulls out, and a comparison with null (no reference, say) gives null.
        concat_ws(
            ', ',
            if(coalesce(caption, '') = '', 'no caption', null),
            if(not is_valid, 'invalid', null),
            if(confidence < if(contains(caption, ' '), min_sentence_confidence, min_confidence), 'low confidence', null),
            -- alternatives are sorted; get gives null where there is none.
            if(exp(get(alternatives, 0).score) > max_alternative_probability and not coalesce(contains(caption, ' '), false), 'disputed', null),
            if(similarity < min_similarity and not contains(reference, ' '), 'far from the reference', null)
        ) as reasons
    from newest_captions
    cross join review_thresholds
)
select
    image_id,
    reasons,
    caption,
    reference,
    confidence,
    is_valid,
    edit_distance,
    similarity,
    split,
    model_version,
    predicted_at
from judged
where reasons <> ''
