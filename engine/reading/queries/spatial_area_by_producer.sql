-- How large are the kept boxes of each kind and producer, as a share of their image?
-- Ten bins of sqrt(area of the box / area of the image), each 0.1 wide, as in spatial_area. `share` is of all kept
-- boxes of the kind and producer. Shows the 8 pairs of kind and producer with the most boxes; empty bins are left out.
WITH boxes AS (
    SELECT r.kind, r.producer,
           least(floor(10 * sqrt((r.x2 - r.x1) * (r.y2 - r.y1) / (i.width::DOUBLE * i.height))), 9)::INT AS bin
    FROM kept.regions r JOIN kept.images i ON i.image_id = r.image_id
),
bins AS (
    SELECT kind, producer, bin, count(*) AS boxes, sum(count(*)) OVER (PARTITION BY kind, producer) AS total
    FROM boxes GROUP BY kind, producer, bin
)
SELECT kind, producer, bin / 10 AS side_from, (bin + 1) / 10 AS side_to, boxes, round(boxes / total, 4) AS share
FROM bins
QUALIFY dense_rank() OVER (ORDER BY total DESC, kind, producer) <= 8
ORDER BY total DESC, kind, producer, bin
