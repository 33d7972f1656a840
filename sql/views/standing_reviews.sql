-- For whoever counts reviews: what each reviewer found last of each caption, without what they took back.
select
    image_id,
    model_version,
    caption,
    verdict,
    rating,
    corrected_caption,
    reviewer,
    reviewed_at
from (
    select
        given.*,
        row_number() over (
            partition by given.image_id, given.model_version, given.reviewer
            order by given.reviewed_at desc, given.review_id desc
        ) as newness
    from caption_reviews as given
    left anti join caption_reviews as later on later.undoes = given.review_id
    where given.verdict <> 'undo'
)
where newness = 1
