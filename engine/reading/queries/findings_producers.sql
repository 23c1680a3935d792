-- Which nodes failed on many images, gave nothing, or give labels that other producers contradict?
-- One row for each finding, the most serious first; `number` is what was counted, `expected` the limit. Limits: a node
-- that failed on a twentieth of the images (3 or more), serious from half; a node of the last recipe that ran and gave
-- no annotation; a producer that gives the boxes of one label another name. For that, each box is compared with the
-- name that most other producers give at its place (IoU of 0.5 or more). Of 5 or more boxes that the others call alike,
-- the producer must call 6 of 10 by one other name and at most 2 of 10 by the same name, and agree on half of its other
-- boxes. A box takes part if a person drew it or its score is 0.3 or more; regions made from others do not. Boxes of
-- 20,000 images at most are compared. If a producer calls X what others call Y, and another one calls Y what others
-- call X, only the one with more boxes is listed; with equal numbers both, because either may be wrong.
WITH images_total AS (SELECT count(*) AS number FROM images),
failed AS (
    SELECT node, count(DISTINCT image_id) AS number, mode(reason) AS reason
    FROM failures WHERE image_id IS NOT NULL AND reason <> 'skipped' GROUP BY node
),
recipe AS (SELECT recipe::JSON AS r FROM runs WHERE json_valid(recipe) ORDER BY run DESC LIMIT 1),
ran AS (
    SELECT DISTINCT n.node AS node FROM (SELECT unnest(nodes) AS n FROM runs)
    WHERE NOT EXISTS (FROM images WHERE bytes IS NULL) -- a release has only what is kept
      AND n.items > n.failed AND n.node IN (SELECT e.key FROM recipe, json_each(r -> '$.annotate') e)
),
gave AS (FROM raw.producers UNION SELECT node FROM embeddings),
-- Nodes whose annotations are not under their own name: those of people, and nodes that annotate no image.
elsewhere AS (
    SELECT e.key AS node FROM recipe, json_each(r -> '$.annotate') e
    WHERE e.value ->> '$.use' IN ('decodes', 'spacy_parse')
       OR (e.value ->> '$.use' = 'human' AND 'human' IN (SELECT producer FROM gave))
),
some_images AS (SELECT image_id FROM images ORDER BY image_id LIMIT 20000),
boxes AS MATERIALIZED (
    SELECT image_id, annotation_id, producer, lower(label) AS label, x1, y1, x2, y2
    FROM regions SEMI JOIN some_images USING (image_id)
    WHERE kind = 'object' AND label <> '' AND len(parents) = 0 AND (score IS NULL OR score >= 0.3)
),
pairs AS (
    SELECT a.image_id, a.annotation_id, a.producer, a.label, b.label AS other, b.producer AS voter,
           greatest(least(a.x2, b.x2) - greatest(a.x1, b.x1), 0)
             * greatest(least(a.y2, b.y2) - greatest(a.y1, b.y1), 0) AS both_area,
           (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) AS areas
    FROM boxes a JOIN boxes b ON b.image_id = a.image_id AND b.producer <> a.producer
         AND b.x1 < a.x2 AND a.x1 < b.x2 AND b.y1 < a.y2 AND a.y1 < b.y2
),
votes AS (
    SELECT image_id, annotation_id, producer, label, other, count(DISTINCT voter) AS number
    FROM pairs WHERE both_area >= 0.5 * (areas - both_area) GROUP BY ALL
),
places AS (
    SELECT producer, label, other FROM votes
    WINDOW place AS (PARTITION BY image_id, annotation_id), equals AS (PARTITION BY image_id, annotation_id, number)
    QUALIFY number = max(number) OVER place AND count(*) OVER equals = 1
),
named AS (SELECT producer, other, label, count(*) AS number FROM places GROUP BY ALL),
agreement AS (
    SELECT producer, other, sum(number) AS boxes, coalesce(sum(number) FILTER (label = other), 0) AS same,
           max(number) FILTER (label <> other) AS most, arg_max(label, (number, label)) FILTER (label <> other) AS rival
    FROM named GROUP BY producer, other
),
against AS (
    SELECT *, coalesce(sum(same) OVER others, 0) AS other_same, coalesce(sum(boxes) OVER others, 0) AS other_boxes
    FROM agreement
    WINDOW others AS (PARTITION BY producer ORDER BY other ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
                      EXCLUDE CURRENT ROW)
),
swapped AS (
    SELECT * FROM against
    WHERE boxes >= 5 AND most >= 0.6 * boxes AND same <= 0.2 * boxes AND other_same >= 0.5 * other_boxes
),
found AS (
    SELECT CASE WHEN f.number >= 0.5 * t.number THEN 1 ELSE 2 END AS rank,
           format('Node ''{}'' failed on {} of {} images, mostly with the reason {}.', node, f.number, t.number, reason)
               AS finding, f.number::DOUBLE AS number, 'less than 5 % of the images' AS expected,
           'failures_by_reason' AS figure
    FROM failed f, images_total t WHERE f.number >= 3 AND f.number >= 0.05 * t.number
    UNION ALL
    SELECT 1, format('Node ''{}'' ran and gave no annotation.', node), 0, '1 or more annotations', 'producers'
    FROM ran ANTI JOIN gave ON gave.producer = ran.node ANTI JOIN elsewhere ON elsewhere.node = ran.node
    UNION ALL
    SELECT 1, format('Producer ''{}'' calls ''{}'' what the others call ''{}'': {} of {} boxes.', left(producer, 60),
                  left(rival, 60), left(other, 60), most, boxes),
           most / boxes, 'less than 0.6', 'label_confusion'
    FROM swapped s
    WHERE NOT EXISTS (FROM swapped m WHERE m.other = s.rival AND m.rival = s.other AND m.most > s.most)
)
SELECT ['serious', 'warning', 'note'][rank] AS severity, finding, round(number, 4) AS number, expected, figure
FROM found
ORDER BY rank, number DESC, finding
LIMIT 40
