-- For those who plan the review: below which confidence and which similarity is a caption looked at by a person?
--
-- The confidence of a sentence is about the probability of one of its words, which is seldom high: it has a figure of its own.
-- This is the only place where the figures stand: change them here and create the views again.
--
-- Columns:
--   min_confidence: Captions with less are reviewed, 0..1; lower it if the list is longer than you have time for.
--   min_sentence_confidence: The same for captions that are sentences (have blanks), 0..1.
--   max_alternative_probability: Captions with an alternative of a larger probability are disputed, 0..1; not below 0.5, or a reading disputes itself.
--   min_similarity: Captions with less are reviewed, 0..1; unrelated captions reach about 0.55.
select
    cast(0.50 as double) as min_confidence,
    cast(0.30 as double) as min_sentence_confidence,
    cast(0.50 as double) as max_alternative_probability,
    cast(0.55 as double) as min_similarity
