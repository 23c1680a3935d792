-- Where in the image are the centres of region-text and of text-phrase-region boxes (Florence-2, figures 5c and 5d)?
-- One row for each cell of a grid of 10 x 10: x and y are tenths of the width and height, from the top left. Boxes are
-- counted as in spatial_area: region-text are the kept regions; of text-phrase-region, a region counts once for each
-- kept phrase that names it. `share` is of all boxes of the type: 0.01 if centres were spread evenly.
WITH regions AS MATERIALIZED (
    SELECT r.image_id, r.annotation_id, least(greatest(floor(5 * (r.x1 + r.x2) / i.width), 0), 9)::INT AS x,
           least(greatest(floor(5 * (r.y1 + r.y2) / i.height), 0), 9)::INT AS y
    FROM kept.regions r JOIN kept.images i ON i.image_id = r.image_id
),
boxes AS (
    SELECT 'region-text' AS type, x, y FROM regions
    UNION ALL
    SELECT 'text-phrase-region', x, y
    FROM kept.triplets t JOIN regions r ON r.image_id = t.image_id AND r.annotation_id = t.region_id
),
grid AS (
    SELECT type, x::INT AS x, y::INT AS y
    FROM (SELECT DISTINCT type FROM boxes), range(10) columns(x), range(10) lines(y)
),
cells AS (SELECT type, x, y, count(*) AS boxes FROM boxes GROUP BY type, x, y)
SELECT type, x, y, coalesce(boxes, 0) AS boxes,
       round(coalesce(boxes, 0) / sum(boxes) OVER (PARTITION BY type), 4) AS share
FROM grid LEFT JOIN cells USING (type, x, y)
ORDER BY type, y, x
