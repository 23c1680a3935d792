-- Where in the image are the centres of the boxes (Florence-2, figures 5c and 5d)?
-- A heat map of 10 x 10 cells for each type: rows are tenths of the height, from the top; x0 to x9 are tenths of the
-- width, from the left. Numbers are boxes per 1,000. The paper prints no cells. Boxes are counted as in spatial_area.
WITH regions AS MATERIALIZED (
    SELECT r.image_id, r.annotation_id, r.x1, r.y1, r.x2, r.y2, i.width, i.height
    FROM kept.regions r JOIN kept.images i ON i.image_id = r.image_id
),
boxes AS (
    SELECT 'region-text' AS type, * FROM regions
    UNION ALL
    SELECT 'text-phrase-region', r.*
    FROM kept.triplets t JOIN regions r ON r.image_id = t.image_id AND r.annotation_id = t.region_id
),
cells AS (
    SELECT type, least(floor(5 * (y1 + y2) / height), 9)::INT AS y, least(floor(5 * (x1 + x2) / width), 9)::INT AS x,
           count(*) AS number
    FROM boxes GROUP BY ALL
),
shares AS (SELECT type, y, x, 1000 * number / sum(number) OVER (PARTITION BY type) AS share FROM cells)
SELECT type, y, round(coalesce(sum(share) FILTER (x = 0), 0), 1) AS x0, round(coalesce(sum(share) FILTER (x = 1), 0), 1) AS x1,
       round(coalesce(sum(share) FILTER (x = 2), 0), 1) AS x2, round(coalesce(sum(share) FILTER (x = 3), 0), 1) AS x3,
       round(coalesce(sum(share) FILTER (x = 4), 0), 1) AS x4, round(coalesce(sum(share) FILTER (x = 5), 0), 1) AS x5,
       round(coalesce(sum(share) FILTER (x = 6), 0), 1) AS x6, round(coalesce(sum(share) FILTER (x = 7), 0), 1) AS x7,
       round(coalesce(sum(share) FILTER (x = 8), 0), 1) AS x8, round(coalesce(sum(share) FILTER (x = 9), 0), 1) AS x9
FROM shares
GROUP BY type, y
ORDER BY type, y
