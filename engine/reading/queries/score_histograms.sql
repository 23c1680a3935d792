-- How are the scores of kept images distributed?
-- Twenty equal bins from the least to the greatest value of each score. share: of the values of this score. Leaves out
-- perceptual hashes and scores with one value only; shows 20 scores at most, in the order of their names.
WITH given AS (
    SELECT producer, name, value FROM kept.image_scores
    WHERE name <> 'phash' AND value IS NOT NULL AND isfinite(value)
),
limits AS (
    SELECT producer, name, min(value) AS low, max(value) AS high, count(*) AS total
    FROM given GROUP BY producer, name HAVING max(value) > min(value) ORDER BY name, producer LIMIT 20
)
SELECT producer, name, bin, round(any_value(low + bin * (high - low) / 20), 6) AS value_from,
       round(any_value(low + (bin + 1) * (high - low) / 20), 6) AS value_to, count(*) AS number,
       round(count(*) / any_value(total), 4) AS share
FROM (SELECT *, least(floor(20 * (value - low) / (high - low)), 19)::INTEGER AS bin
      FROM given JOIN limits USING (producer, name))
GROUP BY producer, name, bin
ORDER BY name, producer, bin
