-- Where in the image are the centres of the kept boxes of each kind and producer?
-- One row for each cell of a grid of 10 x 10: x and y are tenths of the width and height, from the top left. `share` is
-- of all kept boxes of the kind and producer: 0.01 if centres were spread evenly. Shows the 4 pairs of kind and
-- producer with the most boxes.
WITH cells AS (
    SELECT r.kind, r.producer, least(greatest(floor(5 * (r.x1 + r.x2) / i.width), 0), 9)::INT AS x,
           least(greatest(floor(5 * (r.y1 + r.y2) / i.height), 0), 9)::INT AS y, count(*) AS boxes
    FROM kept.regions r JOIN kept.images i ON i.image_id = r.image_id
    GROUP BY ALL
),
largest AS (
    SELECT kind, producer, sum(boxes) AS total FROM cells GROUP BY kind, producer
    ORDER BY total DESC, kind, producer LIMIT 4
),
grid AS (SELECT kind, producer, total, x::INT AS x, y::INT AS y FROM largest, range(10) columns(x), range(10) lines(y))
SELECT kind, producer, x, y, coalesce(boxes, 0) AS boxes, round(coalesce(boxes, 0) / total, 4) AS share
FROM grid LEFT JOIN cells USING (kind, producer, x, y)
ORDER BY total DESC, kind, producer, y, x
