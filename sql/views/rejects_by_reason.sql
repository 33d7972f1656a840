-- For those who deliver images: how many images and caption rows were rejected, at which step, and for what reason?
--
-- Columns:
--   num_rejected: Images rejected at that step for that reason; rows of caption files where stage is captions.
--   share_of_pictures: Their fraction of the images that the step was given, 0..1; null where stage is captions.
--   first_rejected_at: When the first of them was rejected (UTC).
--   last_rejected_at: When the last of them was rejected (UTC).
--   example_source: File of the last of them, as in images_raw; of a caption file with the row.
--   example_detail: What was seen in it, for people.
with arrived as (
    select count(*) as num_raw
    from images_raw
),
rejected as (
    select
        stage,
        reason,
        count(*) as num_rejected,
        sum(count(*)) over (partition by stage) as num_rejected_at_stage,
        min(rejected_at) as first_rejected_at,
        max(struct(rejected_at, source, detail)) as last_one
    from images_rejected
    group by
        stage,
        reason
)
select
    stage,
    reason,
    num_rejected,
    -- images_raw holds what ingest let through, and is all that clean is given
    if(
        stage = 'captions', null, num_rejected / (num_raw + if(stage = 'ingest', num_rejected_at_stage, 0))
    ) as share_of_pictures,
    first_rejected_at,
    last_one.rejected_at as last_rejected_at,
    last_one.source as example_source,
    last_one.detail as example_detail
from rejected
cross join arrived
