-- How far do producers agree on boxes: how many boxes of one have a partner of the other, and how well do they fit?
-- Two producers are compared in the images where both gave boxes of a kind. Boxes count whether rules keep, drop or
-- merge them, so a candidate that consensus merged counts for its detector. Boxes with less than 0.3 of the highest
-- score of their producer do not count. Partners have an IoU of 0.5 or more, whatever their labels, and each box has at
-- most one of the other producer: pairs are taken in the order of IoU x both scores, where a score of people is 1.
-- Detectors often give a second label at the same place, with a low score; this order avoids it. `truth` is the human
-- labels of audit images. Boxes made from other boxes (by consensus or a round) are compared with truth only. Crowds do
-- not count, nor do outlines of other regions. from_50 to from_90: the number of partners by IoU. same_label: the share
-- of partners with the same label, without case and accents; null for printed text. Of a large data set, whole images
-- are sampled until there are 250,000 boxes, or 40 million pairs of boxes; images with more than 2,000 boxes are left
-- out. Shows the 100 largest pairs of producers.
WITH RECURSIVE first_hand AS (
    SELECT image_id, kind,
           CASE WHEN score IS NULL THEN 1 WHEN len(parents) = 0 OR kind = 'phrase' THEN 2 ELSE 3 END AS rank,
           producer, score_kind, annotation_id, label, score, x1, y1, x2, y2
    FROM regions WHERE score_kind <> 'crowd' AND NOT list_contains(parents, merged_into)
),
given AS (
    SELECT image_id, kind, rank, producer, annotation_id, label, score, x1, y1, x2, y2
    FROM first_hand JOIN (SELECT producer, score_kind, 0.3 * max(score) AS floor FROM first_hand GROUP BY ALL)
      USING (producer, score_kind)
    WHERE score IS NULL OR score >= floor
    UNION ALL
    SELECT image_id, kind, 0, 'truth', annotation_id, label, NULL, x1, y1, x2, y2
    FROM truth WHERE annotation_type = 'regions' AND score_kind <> 'crowd' AND merged_into = ''
),
-- Image ids are hashes, so the images with the lowest ids are a random sample.
sampled AS (
    SELECT image_id, sum(number) OVER before AS boxes_before, sum(number * number) OVER before AS pairs_before
    FROM (SELECT image_id, count(*) AS number FROM given GROUP BY image_id
          HAVING min((rank, producer)) < max((rank, producer)) AND number <= 2000)
    WINDOW before AS (ORDER BY image_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
boxes AS MATERIALIZED (
    SELECT * REPLACE (x1::DOUBLE AS x1, y1::DOUBLE AS y1, x2::DOUBLE AS x2, y2::DOUBLE AS y2),
           row_number() OVER (ORDER BY image_id, rank, producer, annotation_id) AS n,
           row_number() OVER (PARTITION BY image_id, kind, rank, producer ORDER BY annotation_id) AS place
    FROM given
    WHERE image_id IN (SELECT image_id FROM sampled
                       WHERE coalesce(boxes_before, 0) < 250000 AND coalesce(pairs_before, 0) < 40000000)
),
edges AS (
    SELECT *, iou * coalesce(score_a, 1) * coalesce(score_b, 1) AS weight
    FROM (SELECT a.n AS a, b.n AS b, a.producer AS producer_a, b.producer AS producer_b,
                 a.score AS score_a, b.score AS score_b, abs(a.place - b.place) AS gap,
                 (least(a.x2, b.x2) - greatest(a.x1, b.x1)) * (least(a.y2, b.y2) - greatest(a.y1, b.y1)) AS shared,
                 shared / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - shared) AS iou
          FROM boxes a JOIN boxes b ON b.image_id = a.image_id AND b.kind = a.kind
            AND (a.rank, a.producer) < (b.rank, b.producer) AND (a.rank = 0 OR b.rank < 3)
            AND a.x1 < b.x2 AND b.x1 < a.x2 AND a.y1 < b.y2 AND b.y1 < a.y2)
    WHERE iou BETWEEN 0.5 AND 1.0001
),
-- Each round takes the edges that are the heaviest of both of their boxes, and removes the other edges of these boxes.
-- Among equal weights the smallest gap comes first, so that many equal boxes are paired in one round.
rounds AS (
    SELECT a, b, producer_a, producer_b, iou, weight, gap, false AS best FROM edges
    UNION ALL
    SELECT a, b, producer_a, producer_b, iou, weight, gap, best
    FROM (SELECT *, bool_or(best) OVER (PARTITION BY a, producer_b) AS a_taken,
                 bool_or(best) OVER (PARTITION BY b, producer_a) AS b_taken
          FROM (SELECT a, b, producer_a, producer_b, iou, weight, gap,
                       row_number() OVER (PARTITION BY a, producer_b ORDER BY weight DESC, gap, b) = 1
                       AND row_number() OVER (PARTITION BY b, producer_a ORDER BY weight DESC, gap, a) = 1 AS best
                FROM rounds WHERE NOT best))
    WHERE best OR NOT (a_taken OR b_taken)
),
partners AS MATERIALIZED (
    SELECT a.image_id, a.kind, a.producer AS producer_a, b.producer AS producer_b, r.iou,
           regexp_replace(trim(lower(strip_accents(a.label))), '\s+', ' ', 'g') AS label_a,
           regexp_replace(trim(lower(strip_accents(b.label))), '\s+', ' ', 'g') AS label_b
    FROM rounds r JOIN boxes a ON a.n = r.a JOIN boxes b ON b.n = r.b
    WHERE r.best
),
counts AS (
    SELECT image_id, kind, rank, producer, count(*) AS number FROM boxes GROUP BY image_id, kind, rank, producer
),
compared AS (
    SELECT a.kind, a.producer AS producer_a, b.producer AS producer_b, count(*) AS images,
           sum(a.number)::BIGINT AS boxes_a, sum(b.number)::BIGINT AS boxes_b
    FROM counts a JOIN counts b ON b.image_id = a.image_id AND b.kind = a.kind
      AND (a.rank, a.producer) < (b.rank, b.producer) AND (a.rank = 0 OR b.rank < 3)
    GROUP BY a.kind, a.producer, b.producer
),
found AS (
    SELECT kind, producer_a, producer_b, count(*) AS number, avg(iou) AS mean_iou,
           avg((label_a = label_b)::INT) FILTER (kind <> 'text') AS same_label,
           count(*) FILTER (iou < 0.6) AS from_50, count(*) FILTER (iou >= 0.6 AND iou < 0.7) AS from_60,
           count(*) FILTER (iou >= 0.7 AND iou < 0.8) AS from_70, count(*) FILTER (iou >= 0.8 AND iou < 0.9) AS from_80,
           count(*) FILTER (iou >= 0.9) AS from_90
    FROM partners GROUP BY kind, producer_a, producer_b
)
SELECT kind, producer_a, producer_b, images, boxes_a, boxes_b, coalesce(number, 0) AS partners,
       round(coalesce(number, 0) / boxes_a, 3) AS share_a, round(coalesce(number, 0) / boxes_b, 3) AS share_b,
       round(mean_iou, 3) AS mean_iou, round(same_label, 3) AS same_label,
       coalesce(from_50, 0) AS from_50, coalesce(from_60, 0) AS from_60, coalesce(from_70, 0) AS from_70,
       coalesce(from_80, 0) AS from_80, coalesce(from_90, 0) AS from_90
FROM compared LEFT JOIN found USING (kind, producer_a, producer_b)
ORDER BY partners DESC, images DESC, kind, producer_a, producer_b
LIMIT 100
