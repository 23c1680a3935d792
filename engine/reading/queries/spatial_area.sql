-- How large are the boxes, as a share of their image (Florence-2, figure 5a)?
-- Ten bins of sqrt(area of the box / area of the image), each 0.1 wide. The paper prints no bins; with equal bins of the
-- area itself, nearly all boxes would be in the first. region-text: kept regions. text-phrase-region: a region counts
-- once for each kept phrase that names it.
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
SELECT bin / 10 AS side_from, (bin + 1) / 10 AS side_to, count(*) FILTER (type = 'region-text') AS region_text,
       count(*) FILTER (type = 'text-phrase-region') AS text_phrase_region,
       round(region_text / sum(region_text) OVER (), 3) AS region_text_share,
       round(text_phrase_region / sum(text_phrase_region) OVER (), 3) AS text_phrase_region_share
FROM (SELECT type, least(floor(10 * sqrt((x2 - x1) * (y2 - y1) / (width::DOUBLE * height))), 9)::INT AS bin FROM boxes)
GROUP BY bin
ORDER BY bin
