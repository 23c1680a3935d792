-- How many kept regions does a kept phrase name, by the granularity of its text?
-- Phrases that name no kept region are not counted. The last row of a granularity counts phrases with 10 or more.
-- `share` is of the phrases of the granularity.
WITH phrases AS (
    SELECT image_id, text_id, phrase_id, count(*) AS regions FROM kept.triplets GROUP BY image_id, text_id, phrase_id
),
counts AS (
    SELECT t.granularity, least(p.regions, 10) AS regions, count(*) AS phrases
    FROM phrases p JOIN kept.texts t ON t.image_id = p.image_id AND t.annotation_id = p.text_id
    GROUP BY ALL
)
SELECT granularity, regions, phrases, round(phrases / sum(phrases) OVER (PARTITION BY granularity), 4) AS share
FROM counts
ORDER BY coalesce(array_position(['brief', 'detailed', 'more_detailed'], granularity), 9), granularity, regions
