-- What are the main numbers of this data set?
-- One row for each number. kept: what the rules keep. producers: makers of at least one annotation. rounds: the highest
-- round of refinement. releases: those that runs made.
WITH made AS (
    SELECT 'texts' AS type, producer, round, kept FROM texts
    UNION ALL SELECT 'regions', producer, round, kept FROM regions
    UNION ALL SELECT 'region_texts', producer, round, kept FROM region_texts
    UNION ALL SELECT 'phrases', producer, round, kept FROM phrases
    UNION ALL SELECT 'tags', producer, round, kept FROM tags
    UNION ALL SELECT 'image_scores', producer, round, kept FROM image_scores
),
totals AS (
    SELECT count(*) FILTER (type <> 'image_scores') AS given,
           count(*) FILTER (type <> 'image_scores' AND kept) AS kept, count(DISTINCT producer) AS producers,
           coalesce(max(round), 0) AS rounds
    FROM made
),
pictures AS (
    SELECT count(*) AS images, count(*) FILTER (kept) AS kept, count(*) FILTER (kept IS NULL) AS pending,
           coalesce(sum(bytes), 0) AS bytes
    FROM images
),
listed AS (SELECT count(*) AS inputs, count(DISTINCT source) AS sources FROM inputs WHERE outcome <> 'earlier'),
made_of AS (SELECT count(DISTINCT release) FILTER (release <> '') AS releases, count(*) AS runs FROM runs)
SELECT measure, number, note FROM (
    SELECT unnest([
        {'nth': 1, 'measure': 'inputs', 'number': inputs, 'note': 'sources: ' || sources},
        {'nth': 2, 'measure': 'images', 'number': images, 'note': round(bytes / 1e6, 1) || ' MB'},
        {'nth': 3, 'measure': 'images kept', 'number': p.kept, 'note': 'not judged yet: ' || pending},
        {'nth': 4, 'measure': 'annotations', 'number': given, 'note': 'without scores of images'},
        {'nth': 5, 'measure': 'annotations kept', 'number': t.kept, 'note': ''},
        {'nth': 6, 'measure': 'producers', 'number': producers, 'note': ''},
        {'nth': 7, 'measure': 'rounds of refinement', 'number': rounds, 'note': ''},
        {'nth': 8, 'measure': 'releases', 'number': releases, 'note': ''},
        {'nth': 9, 'measure': 'runs', 'number': runs, 'note': ''}], recursive := true)
    FROM totals t, pictures p, listed, made_of)
WHERE (SELECT inputs FROM listed) > 0 OR (SELECT images FROM pictures) > 0
ORDER BY nth
