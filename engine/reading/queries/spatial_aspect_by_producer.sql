-- How wide or tall are the kept boxes of each kind and producer?
-- Bins of log2(width / height), in pixels, each 0.5 wide, as in spatial_aspect: -1 is twice as tall as wide, 0 is a
-- square. Boxes beyond 1:16 or 16:1 are in the outermost bins; boxes without area are left out. `share` is of all kept
-- boxes of the kind and producer. Shows the 8 pairs of kind and producer with the most boxes; empty bins are left out.
WITH boxes AS (
    SELECT kind, producer, greatest(least(floor(2 * log2((x2 - x1)::DOUBLE / (y2 - y1))), 7), -8)::INT AS bin
    FROM kept.regions WHERE x2 > x1 AND y2 > y1
),
bins AS (
    SELECT kind, producer, bin, count(*) AS boxes, sum(count(*)) OVER (PARTITION BY kind, producer) AS total
    FROM boxes GROUP BY kind, producer, bin
)
SELECT kind, producer, bin / 2 AS log2_from, (bin + 1) / 2 AS log2_to, round(pow(2, bin / 2), 3) AS aspect_from, boxes,
       round(boxes / total, 4) AS share
FROM bins
QUALIFY dense_rank() OVER (ORDER BY total DESC, kind, producer) <= 8
ORDER BY total DESC, kind, producer, bin
