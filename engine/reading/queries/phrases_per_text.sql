-- How many phrases do kept texts have, by granularity?
-- A phrase counts if it is kept and names a kept region. The last row of a granularity counts texts with 20 or more.
-- `share` is of the kept texts of the granularity.
WITH phrases AS (
    SELECT image_id, text_id, count(DISTINCT phrase_id) AS phrases FROM kept.triplets GROUP BY image_id, text_id
),
counts AS (
    SELECT t.granularity, least(coalesce(p.phrases, 0), 20) AS phrases, count(*) AS texts
    FROM kept.texts t LEFT JOIN phrases p ON p.image_id = t.image_id AND p.text_id = t.annotation_id
    GROUP BY ALL
)
SELECT granularity, phrases, texts, round(texts / sum(texts) OVER (PARTITION BY granularity), 4) AS share
FROM counts
ORDER BY coalesce(array_position(['brief', 'detailed', 'more_detailed'], granularity), 9), granularity, phrases
