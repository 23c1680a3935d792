-- How many inputs does each source give, and what became of them?
-- One row for each source, also for one that listed no input (taken from the latest run that listed the sources).
-- images: inputs that are the first with their bytes; kept: those of them that the rules keep. left_out: the most
-- frequent reason for which the source left inputs or labels out, with its number.
WITH listed AS (
    SELECT unnest(sources) AS s FROM (SELECT sources FROM runs WHERE len(sources) > 0 ORDER BY run DESC LIMIT 1)
),
reported AS (
    SELECT s.source AS source, s.missing AS missing, s.gone AS gone,
           list_max(list_transform(map_entries(s.left_out), lambda e: {'number': e.value, 'reason': e.key})) AS most
    FROM listed WHERE NOT EXISTS (FROM images WHERE bytes IS NULL) -- a release has only the sources of its images
),
counted AS (
    SELECT source, count(*) AS inputs, count(*) FILTER (outcome = 'image') AS images,
           count(*) FILTER (outcome = 'image' AND kept) AS kept, count(*) FILTER (outcome = 'duplicate') AS duplicates,
           count(*) FILTER (outcome = 'quarantined') AS not_usable, count(*) FILTER (outcome = 'pending') AS not_read,
           count(*) FILTER (outcome = 'removed') AS removed
    FROM inputs WHERE outcome <> 'earlier' GROUP BY source
)
SELECT source, coalesce(inputs, 0) AS inputs, coalesce(images, 0) AS images, coalesce(kept, 0) AS kept,
       round(kept / nullif(images, 0), 4) AS kept_share, coalesce(duplicates, 0) AS duplicates,
       coalesce(not_usable, 0) AS not_usable, coalesce(not_read, 0) AS not_read, coalesce(removed, 0) AS removed,
       coalesce(missing, 0) AS missing, coalesce(gone, 0) AS gone,
       coalesce(most.number || ' x ' || most.reason, '') AS left_out
FROM counted FULL JOIN reported USING (source)
ORDER BY inputs, source
LIMIT 200
