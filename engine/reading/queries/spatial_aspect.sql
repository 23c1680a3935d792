-- How wide or tall are the boxes (Florence-2, figure 5b)?
-- Bins of log2(width / height), in pixels, each 0.5 wide: -1 is twice as tall as wide, 0 is a square. The paper prints
-- no bins. Boxes beyond 1:16 or 16:1 are in the outermost bins. Boxes are counted as in spatial_area.
WITH regions AS MATERIALIZED (
    SELECT r.image_id, r.annotation_id, r.x1, r.y1, r.x2, r.y2, i.width, i.height
    FROM kept.regions r JOIN kept.images i ON i.image_id = r.image_id
),
boxes AS (
    SELECT 'region-text' AS type, * FROM regions
    UNION ALL
    SELECT 'text-phrase-region', r.*
    FROM kept.triplets t JOIN regions r ON r.image_id = t.image_id AND r.annotation_id = t.region_id
)
SELECT bin / 2 AS log2_from, (bin + 1) / 2 AS log2_to, round(pow(2, bin / 2), 3) AS aspect_from,
       count(*) FILTER (type = 'region-text') AS region_text,
       count(*) FILTER (type = 'text-phrase-region') AS text_phrase_region,
       round(region_text / sum(region_text) OVER (), 3) AS region_text_share,
       round(text_phrase_region / sum(text_phrase_region) OVER (), 3) AS text_phrase_region_share
FROM (SELECT type, greatest(least(floor(2 * log2((x2 - x1)::DOUBLE / (y2 - y1))), 7), -8)::INT AS bin
      FROM boxes WHERE x2 > x1 AND y2 > y1)
GROUP BY bin
ORDER BY bin
