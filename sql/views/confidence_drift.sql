-- For those who watch over a model: is it as sure of new images as of those it was validated on?
--
-- The population stability index (PSI) compares the confidences of a day with those of the model's captions of validation
-- images, in tenths of the latter: sum over the tenths of (p - q) * ln(p / q), p the day's fraction, q the validation's
-- (Siddiqi, Credit Risk Scorecards, 2006; the sum is Jeffreys' divergence). By custom below 0.1 nothing has changed, and
-- above 0.25 a lot has. Half an image is added to each tenth, so that an empty one has a logarithm; a day with few
-- captions is therefore pulled towards even tenths, and its index says little.
--
-- Images of the train split are left out: a model is surer of what it has learned from.
--
-- Columns:
--   day: Day on which the captions were written (UTC, unless the session has another time zone).
--   model_version: Model, named by the settings, data and weights that made it.
--   num_captions: Captions of that day with a confidence, images of train and validation left out.
--   num_validation_captions: Captions of validation images that they are compared with; null if there are none.
--   mean_confidence: Mean confidence of the day's captions, 0..1.
--   validation_confidence: Mean confidence of the captions of validation images, 0..1; null as above.
--   psi: Population stability index, from 0; null as above.
with confidences as (
    select
        model_version,
        to_date(predicted_at) as day,
        confidence,
        coalesce(split, 'none') as split
    from caption_predictions
    where confidence is not null
        and not isnan(confidence)
),
validations as (
    select
        model_version,
        count(*) as num_validation_captions,
        avg(confidence) as validation_confidence,
        percentile(confidence, array(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)) as edges
    from confidences
    where split = 'validation'
    group by model_version
),
placed as (
    select
        confidences.model_version,
        confidences.day,
        confidences.split,
        size(filter(edges, edge -> edge < confidence)) as tenth
    from confidences
    join validations
        on validations.model_version = confidences.model_version
),
validation_tenths as (
    select
        model_version,
        tenth,
        count(*) as num_in_tenth
    from placed
    where split = 'validation'
    group by
        model_version,
        tenth
),
day_tenths as (
    select
        model_version,
        day,
        tenth,
        count(*) as num_in_tenth
    from placed
    where split not in ('train', 'validation')
    group by
        model_version,
        day,
        tenth
),
days as (
    select
        model_version,
        day,
        count(*) as num_captions,
        avg(confidence) as mean_confidence
    from confidences
    where split not in ('train', 'validation')
    group by
        model_version,
        day
),
tenths as (
    select explode(sequence(0, 9)) as tenth
),
fractions as (
    select
        days.model_version,
        days.day,
        (coalesce(day_tenths.num_in_tenth, 0) + cast(0.5 as double)) / (num_captions + 5) as day_fraction,
        (coalesce(validation_tenths.num_in_tenth, 0) + cast(0.5 as double)) / (num_validation_captions + 5) as validation_fraction
    from days
    join validations
        on validations.model_version = days.model_version
    cross join tenths
    left join day_tenths
        on day_tenths.model_version = days.model_version
        and day_tenths.day = days.day
        and day_tenths.tenth = tenths.tenth
    left join validation_tenths
        on validation_tenths.model_version = days.model_version
        and validation_tenths.tenth = tenths.tenth
),
indexes as (
    select
        model_version,
        day,
        sum((day_fraction - validation_fraction) * ln(day_fraction / validation_fraction)) as psi
    from fractions
    group by
        model_version,
        day
)
select
    days.day,
    days.model_version,
    num_captions,
    num_validation_captions,
    mean_confidence,
    validation_confidence,
    psi
from days
left join validations
    on validations.model_version = days.model_version
left join indexes
    on indexes.model_version = days.model_version
    and indexes.day = days.day
