-- Which sources, images or stages of the data set look wrong?
-- One row for each finding, the most serious first. `number` is what was counted, `expected` the limit that it crosses,
-- `figure` the named query with the details; the most frequent reason is in brackets. Limits: a source without an
-- image; a source of which 10 % of the inputs (3 or more) cannot be read, serious from half; of which the rules drop
-- half of 10 images or more, serious if all; any input that is missing; a fifth of the inputs (3 or more) exact copies,
-- or of the images near-duplicates; images without a licence beside others that have one; inputs that are not read and
-- images that are not judged yet; images set aside for measuring without human labels.
WITH reports AS (
    SELECT unnest(sources) AS s FROM (SELECT sources FROM runs WHERE len(sources) > 0 ORDER BY run DESC LIMIT 1)
),
listed AS (
    SELECT s.source AS source, s.missing + s.gone AS missing,
           list_max(list_transform(map_entries(s.left_out), lambda e: {'number': e.value, 'reason': e.key})) AS most
    FROM reports WHERE NOT EXISTS (FROM images WHERE bytes IS NULL) -- a release has only the sources of its images
),
counted AS (
    SELECT source, count(*) AS inputs, count(*) FILTER (outcome = 'image') AS images,
           count(*) FILTER (outcome = 'image' AND kept) AS kept,
           count(*) FILTER (outcome = 'image' AND kept IS NOT NULL) AS judged,
           count(*) FILTER (outcome = 'duplicate') AS copies, count(*) FILTER (outcome = 'pending') AS pending,
           count(*) FILTER (outcome = 'quarantined') AS unread,
           coalesce(' (' || mode(reason) FILTER (outcome = 'quarantined') || ')', '') AS why
    FROM inputs WHERE outcome <> 'earlier' GROUP BY source
),
per_source AS (
    SELECT left(source, 100) AS name, coalesce(inputs, 0) AS inputs, coalesce(images, 0) AS images,
           coalesce(kept, 0) AS kept, coalesce(judged, 0) AS judged, coalesce(copies, 0) AS copies,
           coalesce(pending, 0) AS pending, coalesce(unread, 0) AS unread, coalesce(missing, 0) AS missing, most,
           coalesce(why, '') AS why
    FROM counted FULL JOIN listed USING (source)
),
pictures AS (
    SELECT count(*) AS images, count(*) FILTER (coalesce(licence, '') <> '') AS licensed,
           count(*) FILTER (kept IS NULL) AS unjudged, count(*) FILTER (kept IS NOT NULL) AS judged,
           count(*) FILTER (split_part(rule, '.', 1) IN ('near_duplicate', 'semantic_duplicate'))
               AS alike,
           count(*) FILTER (split LIKE 'audit%') AS audit
    FROM images
),
found AS (
    SELECT 1 AS rank, format('Source ''{}'' gave no image. Inputs: {}, not usable: {}{}{}.', name, inputs, unread, why,
                             coalesce(format('; left out: {} x {}', most.number, left(most.reason, 80)), ''))
               AS finding,
           images AS number, '1 or more' AS expected, 'inputs_by_source' AS figure
    FROM per_source WHERE images + copies + pending = 0
    UNION ALL
    SELECT CASE WHEN unread >= 0.5 * inputs THEN 1 ELSE 2 END,
           format('Source ''{}'': {} of {} inputs could not be read as images{}.', name, unread, inputs, why),
           unread, 'less than a tenth of the inputs', 'failures_by_reason'
    FROM per_source WHERE unread >= 3 AND unread >= 0.1 * inputs AND images + copies > 0
    UNION ALL
    SELECT CASE WHEN kept = 0 THEN 1 ELSE 2 END,
           format('Source ''{}'': the rules keep {} of its {} images.', name, kept, judged),
           kept, 'half of the images or more', 'inputs_by_source'
    FROM per_source WHERE judged >= 10 AND kept < 0.5 * judged
    UNION ALL
    SELECT 2, format('Inputs of source ''{}'' that are not there now: {}.', name, missing),
           missing, '0', 'inputs_by_source'
    FROM per_source WHERE missing > 0
    UNION ALL
    SELECT 2, format('Exact copies of other inputs: {} of {} inputs.', sum(copies), sum(inputs)),
           sum(copies), 'less than a fifth of the inputs', 'duplicates'
    FROM per_source HAVING sum(copies) >= 3 AND sum(copies) >= 0.2 * sum(inputs)
    UNION ALL
    SELECT 2, format('Dropped as near-duplicates of other images: {} of {} images.', alike, judged), alike,
           'less than a fifth of the images', 'near_duplicates'
    FROM pictures WHERE alike >= 3 AND alike >= 0.2 * judged
    UNION ALL
    SELECT 2, format('Without a licence: {} of {} images; the others have one.', images - licensed, images),
           images - licensed, '0', 'licences'
    FROM pictures WHERE licensed BETWEEN 1 AND images - 1
    UNION ALL
    SELECT 3, format('No source gives a licence. Images: {}.', images), images, '0', 'licences'
    FROM pictures WHERE images > 0 AND licensed = 0
    UNION ALL
    SELECT 2, format('Inputs not read yet: {} of {}. Run the recipe again to go on.', sum(pending), sum(inputs)),
           sum(pending), '0', 'inputs_by_outcome'
    FROM per_source HAVING sum(pending) > 0
    UNION ALL
    SELECT 2, format('Images not judged yet: {} of {}. Run the recipe again to go on.', unjudged, images), unjudged,
           '0', 'inputs_by_outcome'
    FROM pictures WHERE unjudged > 0
    UNION ALL
    SELECT 2, format('Images set aside for measuring: {}. None of them has human labels.', audit), audit,
           'labels on these images', 'splits'
    FROM pictures WHERE audit > 0 AND NOT EXISTS (FROM truth)
)
SELECT ['serious', 'warning', 'note'][rank] AS severity, finding, number::BIGINT AS number, expected, figure
FROM found
ORDER BY rank, number DESC, finding
LIMIT 40
