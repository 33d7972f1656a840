-- For those who ask how far reviews can be trusted: how often do two people find the same of a caption?
--
-- Columns:
--   reviewer: One of the two; the first by name.
--   other_reviewer: The other.
--   num_captions: Captions that both accepted, found wrong or corrected.
--   agreement: Fraction of them that both accept or neither does, 0..1.
--   agreement_by_chance: What that would be if each accepted as often, but any captions, 0..1.
--   kappa: Cohen's kappa: 1 = they always agree, 0 = as by chance; null if chance alone makes them agree always.
with judged as (
    select
        image_id,
        model_version,
        caption,
        reviewer,
        cast(verdict = 'accept' as double) as accepts
    from standing_reviews
    where verdict in ('accept', 'wrong', 'correct')
),
pairs as (
    select
        one.reviewer,
        other.reviewer as other_reviewer,
        count(*) as num_captions,
        avg(cast(one.accepts = other.accepts as double)) as agreement,
        avg(one.accepts) * avg(other.accepts) + (1 - avg(one.accepts)) * (1 - avg(other.accepts)) as agreement_by_chance
    from judged as one
    join judged as other
        on other.image_id = one.image_id
        and other.model_version = one.model_version
        and other.caption <=> one.caption
        and other.reviewer > one.reviewer
    group by
        one.reviewer,
        other.reviewer
)
select
    *,
    -- where chance alone makes them agree there is nothing to measure
    (agreement - agreement_by_chance) / nullif(1 - agreement_by_chance, 0) as kappa
from pairs
