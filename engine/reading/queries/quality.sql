-- How are the scores of images spread, by producer and name, and which codes (languages) are commonest?
-- Of each name the ten commonest codes; most scores have none. Perceptual hashes are left out: each image has its own.
SELECT producer, name, code, count(*) AS number, round(min("value"), 4) AS least,
       round(quantile_cont("value", 0.1), 4) AS p10, round(median("value"), 4) AS median,
       round(quantile_cont("value", 0.9), 4) AS p90, round(max("value"), 4) AS greatest
FROM kept.image_scores
WHERE name <> 'phash'
GROUP BY producer, name, code
QUALIFY row_number() OVER (PARTITION BY producer, name ORDER BY count(*) DESC, code) <= 10
ORDER BY producer, name, number DESC, code
