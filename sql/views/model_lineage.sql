-- For those who ask where a caption comes from: which training run made its model, and what has that model written?
--
-- Columns:
--   model_version: Model; also the run_id of its training_metrics.
--   num_epochs: Passes over the train split; null for a model that was trained elsewhere.
--   num_steps: Optimizer steps; null for a model that was trained elsewhere.
--   num_workers: Training workers; null for a model that was trained elsewhere.
--   last_validation_loss: Mean cross-entropy per token on the validation split at the end, in nats.
--   trained_from: When training reported first (UTC).
--   trained_to: When training reported last (UTC).
--   num_captions: Captions that the model has written.
--   cleaning_versions: Cleanings that made the images it saw.
--   predicted_from: When it wrote its first caption (UTC).
--   predicted_to: When it wrote its last caption (UTC).
with runs as (
    select
        run_id,
        max(epoch) as num_epochs,
        max(step) as num_steps,
        max(num_workers) as num_workers,
        max_by(validation_loss, step) filter (where validation_loss is not null) as last_validation_loss,
        min(reported_at) as trained_from,
        max(reported_at) as trained_to
    from training_metrics
    group by run_id
),
written as (
    select
        model_version,
        count(*) as num_captions,
        sort_array(collect_set(cleaning_version)) as cleaning_versions,
        min(predicted_at) as predicted_from,
        max(predicted_at) as predicted_to
    from caption_predictions
    group by model_version
)
select
    coalesce(written.model_version, runs.run_id) as model_version,
    num_epochs,
    num_steps,
    num_workers,
    last_validation_loss,
    trained_from,
    trained_to,
    coalesce(num_captions, 0) as num_captions,
    cleaning_versions,
    predicted_from,
    predicted_to
from written
full outer join runs
    on runs.run_id = written.model_version
