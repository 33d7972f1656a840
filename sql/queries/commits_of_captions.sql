-- For those who ask which run wrote what: every commit of caption_predictions, newest first, with its time and job.
--
-- Its version numbers are what `select * from caption_predictions version as of 3` takes. A row belongs to the commit
-- that follows its predicted_at. On Databricks userName and job say who ran it.
describe history caption_predictions
