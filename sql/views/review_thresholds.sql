-- For those who plan the review: below which confidence and which similarity is a caption looked at by a person?
--
-- This is the only place where the two figures stand: change them here and create the views again.
--
-- Columns:
--   min_confidence: Captions with less are reviewed, 0..1; lower it if the list is longer than you have time for.
--   min_similarity: Captions with less are reviewed, 0..1; at 0.55 two unrelated captions are as alike as that.
select
    cast(0.50 as double) as min_confidence,
    cast(0.55 as double) as min_similarity
