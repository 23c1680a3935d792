-- How many images did the rules drop as near-duplicates, and how similar are these to the image that is kept?
-- distance: what the rule compared with its limit, in ten bins from 0 to the limit. near_duplicate counts the bits in
-- which two perceptual hashes of 256 bits differ; semantic_duplicate takes the distance of two embeddings.
WITH alike AS (
    SELECT split_part(rule, '.', 1) AS rule, value AS distance, threshold AS lim,
           least(floor(10 * value / nullif(threshold, 0)), 9) AS bin
    FROM images WHERE NOT kept AND split_part(rule, '.', 1) IN ('near_duplicate', 'semantic_duplicate')
)
SELECT rule, round(min(distance), 4) AS least_distance, round(max(distance), 4) AS greatest_distance,
       max(lim) AS "limit", count(*) AS images, round(count(*) / (SELECT count(*) FROM images), 4) AS share
FROM alike
GROUP BY rule, bin
ORDER BY rule, bin
LIMIT 100
