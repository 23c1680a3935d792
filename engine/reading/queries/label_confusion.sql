-- Which labels do two producers give to the same object: where one says X, how often does the other say Y?
-- Partners are found as in producer_agreement: boxes of two producers with an IoU of 0.5 or more, one to one, in the
-- order of IoU x both scores, in the same sample of images. `number` counts partners with these two labels, of `of_a`
-- partners with label_a and `of_b` with label_b; share_a and share_b are its shares of these. A class that is swapped
-- in one source has a share near 1. Labels are compared without case and accents. Objects only. The rows are in the
-- order of number x the larger share, so that a rare error of a frequent label comes late. Shows the first 100;
-- producer_agreement has the share of all partners with the same label.
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
pairs AS (
    SELECT producer_a, label_a, producer_b, label_b, count(*) AS number, avg(iou) AS mean_iou,
           sum(count(*)) OVER (PARTITION BY producer_a, label_a, producer_b)::BIGINT AS of_a,
           sum(count(*)) OVER (PARTITION BY producer_b, label_b, producer_a)::BIGINT AS of_b
    FROM partners WHERE kind = 'object'
    GROUP BY producer_a, label_a, producer_b, label_b
)
SELECT producer_a, label_a, producer_b, label_b, number, of_a, round(number / of_a, 3) AS share_a,
       of_b, round(number / of_b, 3) AS share_b, round(mean_iou, 3) AS mean_iou
FROM pairs
WHERE label_a <> label_b
ORDER BY number * number / least(of_a, of_b) DESC, number DESC, producer_a, label_a, producer_b, label_b
LIMIT 100
