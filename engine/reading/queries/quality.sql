-- How are the scores of images distributed, by producer and name, and which codes (such as languages) are commonest?
-- Shows the ten commonest codes of each name; most scores have none. Leaves out perceptual hashes, which are unique.
SELECT producer, name, code, count(*) AS number, round(min("value"), 4) AS least,
       round(quantile_cont("value", 0.1), 4) AS p10, round(median("value"), 4) AS median,
       round(quantile_cont("value", 0.9), 4) AS p90, round(max("value"), 4) AS greatest
FROM kept.image_scores
WHERE name <> 'phash'
GROUP BY producer, name, code
QUALIFY row_number() OVER (PARTITION BY producer, name ORDER BY count(*) DESC, code) <= 10
ORDER BY producer, name, number DESC, code
