-- How reliable are scores: of the boxes of a producer in each tenth of its scores, what share is right?
-- A box is right if a human box with its label has an IoU of 0.5 or more with it and is not taken by a box of the same
-- producer with a higher score, as in COCO and `engine eval`. So a duplicate is wrong. mean_score and right would be
-- equal if the scores were probabilities; `error` is their mean distance over all boxes of the producer (expected
-- calibration error). Human boxes are those of audit images (`truth`). Without any, they are those in the data set, and
-- boxes made from other boxes (by consensus or a round) are left out, because human boxes took part in making them.
-- Counts all images of sources with human boxes, since an image without one has no objects. Boxes count whether rules
-- keep, drop or merge them. Labels ignore case and accents; a box whose label people do not use is wrong. Left out:
-- outlines of other regions, and wrong boxes that lie by half in a crowd of their label. Of a large data set, whole
-- images are sampled until there are 250,000 boxes; images with more than 2,000 are left out. Shows the first 300 rows.
WITH RECURSIVE people AS (
    SELECT image_id, 'truth' AS source, annotation_id, label, x1, y1, x2, y2, score_kind = 'crowd' AS crowd
    FROM truth WHERE annotation_type = 'regions' AND kind = 'object' AND merged_into = ''
    UNION ALL
    SELECT image_id, 'human', annotation_id, label, x1, y1, x2, y2, score_kind = 'crowd'
    FROM regions WHERE score IS NULL AND kind = 'object' AND merged_into = ''
      AND NOT EXISTS (SELECT 1 FROM truth WHERE annotation_type = 'regions' AND kind = 'object')
),
placed AS (
    SELECT image_id, split, unnest(sources).source AS source FROM images
),
labelled AS (
    SELECT DISTINCT image_id FROM placed
    WHERE source IN (SELECT source FROM placed WHERE image_id IN (SELECT image_id FROM people))
      AND (split IN ('audit-fit', 'audit-test') OR (SELECT min(source) = 'human' FROM people))
),
given AS (
    SELECT image_id, producer, score_kind, annotation_id, label, score, x1, y1, x2, y2
    FROM regions
    WHERE kind = 'object' AND score IS NOT NULL AND image_id IN (SELECT image_id FROM labelled)
      AND NOT list_contains(parents, merged_into)
      AND (len(parents) = 0 OR (SELECT min(source) = 'truth' FROM people))
),
-- Image ids are hashes, so the images with the lowest ids are a random sample.
sampled AS (
    SELECT image_id, sum(count(*)) OVER (ORDER BY image_id) - count(*) AS boxes_before
    FROM given GROUP BY image_id HAVING count(*) <= 2000
),
boxes AS MATERIALIZED (
    SELECT * REPLACE (x1::DOUBLE AS x1, y1::DOUBLE AS y1, x2::DOUBLE AS x2, y2::DOUBLE AS y2,
                      regexp_replace(trim(lower(strip_accents(label))), '\s+', ' ', 'g') AS label),
           row_number() OVER (ORDER BY image_id, producer, annotation_id) AS n
    FROM given WHERE image_id IN (SELECT image_id FROM sampled WHERE boxes_before < 250000)
),
objects AS (
    SELECT * REPLACE (x1::DOUBLE AS x1, y1::DOUBLE AS y1, x2::DOUBLE AS x2, y2::DOUBLE AS y2,
                      regexp_replace(trim(lower(strip_accents(label))), '\s+', ' ', 'g') AS label),
           row_number() OVER (ORDER BY image_id, annotation_id) AS n
    FROM people
),
touching AS MATERIALIZED (
    SELECT b.n AS box, o.n AS object, b.producer, b.score, o.crowd, (b.x2 - b.x1) * (b.y2 - b.y1) AS area,
           (least(b.x2, o.x2) - greatest(b.x1, o.x1)) * (least(b.y2, o.y2) - greatest(b.y1, o.y1)) AS shared,
           shared / CASE WHEN o.crowd THEN area ELSE area + (o.x2 - o.x1) * (o.y2 - o.y1) - shared END AS iou
    FROM boxes b JOIN objects o ON o.image_id = b.image_id AND o.label = b.label
      AND b.x1 < o.x2 AND o.x1 < b.x2 AND b.y1 < o.y2 AND o.y1 < b.y2
),
-- Each round finds boxes whose best object has no better box of their producer, and takes both out of later rounds.
rounds AS (
    SELECT box, object, producer, score, iou, false AS best FROM touching WHERE NOT crowd AND iou BETWEEN 0.5 AND 1.0001
    UNION ALL
    SELECT box, object, producer, score, iou, best
    FROM (SELECT *, bool_or(best) OVER (PARTITION BY box) AS box_taken,
                 bool_or(best) OVER (PARTITION BY object, producer) AS object_taken
          FROM (SELECT box, object, producer, score, iou,
                       row_number() OVER (PARTITION BY box ORDER BY iou DESC, object) = 1
                       AND row_number() OVER (PARTITION BY object, producer ORDER BY score DESC, box) = 1 AS best
                FROM rounds WHERE NOT best))
    WHERE best OR NOT (box_taken OR object_taken)
),
judged AS (
    SELECT producer, score_kind, score, least(greatest(floor(10 * score), 0), 9)::INT AS bin,
           n IN (SELECT box FROM rounds WHERE best) AS is_right
    FROM boxes
    WHERE n IN (SELECT box FROM rounds WHERE best) OR n NOT IN (SELECT box FROM touching WHERE crowd AND iou >= 0.5)
),
bins AS (
    SELECT producer, score_kind, bin, count(*) AS boxes, avg(score) AS mean_score, avg(is_right::INT) AS share
    FROM judged GROUP BY producer, score_kind, bin
)
SELECT producer, score_kind, (SELECT min(source) FROM people) AS compared_with, bin / 10 AS score_from,
       (bin + 1) / 10 AS score_to, boxes, round(mean_score, 3) AS mean_score, round(share, 3) AS "right",
       round(sum(boxes * abs(mean_score - share)) OVER whole / sum(boxes) OVER whole, 3) AS error
FROM bins
WINDOW whole AS (PARTITION BY producer, score_kind)
ORDER BY producer, score_kind, bin
LIMIT 300
