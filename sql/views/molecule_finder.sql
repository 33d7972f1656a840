-- For chemists: which images show a molecule of this formula, or one whose InChI contains this piece?
--
-- By formula:  select * from molecule_finder where formula = 'C9H8O4'
-- By piece:    select * from molecule_finder where contains(inchi, '/c1-2-3')
--
-- Captions that are no InChI are left out. What people wrote and what the newest model wrote are rows of their own.
--
-- Columns:
--   found_in: reference (what people wrote) or prediction (the newest caption).
--   formula: Formula layer of the InChI, elements in Hill order; a dot between the parts of a salt or mixture.
--   inchi: The InChI.
--   is_valid: Whether RDKit accepts a predicted InChI; null for references.
--   confidence: Confidence of a predicted InChI, 0..1; null for references.
--   model_version: Model that predicted it; null for references.
with texts as (
    select
        image_id,
        'reference' as found_in,
        caption as inchi,
        cast(null as boolean) as is_valid,
        cast(null as double) as confidence,
        cast(null as string) as model_version
    from captions
    union all
    select
        image_id,
        'prediction' as found_in,
        caption as inchi,
        is_valid,
        confidence,
        model_version
    from newest_captions
)
select
    image_id,
    found_in,
    -- a digit may come first, as in 2ClH; a small letter would be the next layer
    regexp_extract(inchi, '^InChI=1S?/([A-Z0-9][^/]*)', 1) as formula,
    inchi,
    is_valid,
    confidence,
    model_version
from texts
where inchi like 'InChI=1%/%'
