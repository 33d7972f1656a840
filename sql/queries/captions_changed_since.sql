-- For those who find other captions than yesterday: which rows of caption_predictions are new, changed or gone?
--
-- :since is a time such as '2026-01-31 18:00:00' (UTC). It must be as late as the table's first commit, and no older
-- than what maintenance keeps.
select
    coalesce(later.image_id, earlier.image_id) as image_id,
    coalesce(later.model_version, earlier.model_version) as model_version,
    case
        when earlier.image_id is null then 'new'
        when later.image_id is null then 'gone'
        else 'changed'
    end as what_happened,
    earlier.caption as caption_before,
    later.caption as caption,
    earlier.edit_distance as edit_distance_before,
    later.edit_distance as edit_distance,
    later.predicted_at as predicted_at
from caption_predictions timestamp as of :since as earlier
full outer join caption_predictions as later
    on later.image_id = earlier.image_id
    and later.model_version = earlier.model_version
where not (
    later.image_id <=> earlier.image_id
    and later.caption <=> earlier.caption
    and later.edit_distance <=> earlier.edit_distance
)
order by
    what_happened,
    image_id,
    model_version
