-- Which images are worth looking at?
-- Up to 24 images for each reason (200 at random), best first. An image may have several reasons. Equal images are in
-- the order of the md5 of reason and id, so the same data set always gives the same images.
-- Bands of scores are those of each producer's kept regions: its lowest tenth, the tenth around its median, its highest
-- tenth. "Barely" is at most half the limit away from it. "Barely passed" is known only for rules that compare a
-- region's own score. The two reasons about disagreement look at 20,000 images (those with the lowest ids, which are
-- hashes); all others look at every image.
-- At most 24 rules are listed: those that dropped something in most images.
WITH
scored AS MATERIALIZED (
    SELECT image_id, producer, label, score, kept, rule, "value", threshold, merged_into FROM regions
),
standing AS (SELECT image_id, producer, label, score FROM scored WHERE kept IS NOT false AND merged_into = ''),
bands AS (
    SELECT producer, quantile_disc(score, [0.1, 0.45, 0.55, 0.9]) AS q
    FROM standing WHERE score IS NOT NULL GROUP BY producer HAVING q[1] < q[4]
),
by_score AS (
    SELECT DISTINCT CASE WHEN s.score <= b.q[1] THEN 'Lowest scores kept' WHEN s.score >= b.q[4]
           THEN 'Highest scores kept' ELSE 'Middle scores kept' END AS reason, s.image_id, 0.0 AS place
    FROM standing s JOIN bands b ON b.producer = s.producer
    WHERE s.score <= b.q[1] OR s.score >= b.q[4] OR s.score BETWEEN b.q[2] AND b.q[3]
),
drops AS (
    SELECT rule, image_id, count(*) AS number,
           min(abs("value" - threshold) / greatest(abs(threshold), 1e-6)) AS distance
    FROM verdicts
    WHERE NOT kept AND rule NOT IN ('failed', 'merged', 'image_dropped', 'text_dropped', 'region_dropped')
    GROUP BY rule, image_id
),
listed AS (SELECT rule FROM drops GROUP BY rule ORDER BY count(*) DESC, rule LIMIT 24),
floors AS (
    SELECT rule, producer, label, max(threshold) AS threshold
    FROM scored WHERE NOT kept AND rule IN (FROM listed)
    GROUP BY rule, producer, label
    HAVING bool_and(coalesce("value" = score, false)) AND min(threshold) = max(threshold)
),
passed AS (
    SELECT f.rule, s.image_id, min(s.score - f.threshold) AS place
    FROM standing s JOIN floors f ON f.producer = s.producer AND f.label = s.label
    WHERE s.score BETWEEN f.threshold AND 1.5 * f.threshold GROUP BY f.rule, s.image_id
),
sampled AS (SELECT image_id FROM images ORDER BY image_id LIMIT 20000),
boxes AS MATERIALIZED (
    SELECT image_id, producer, kind, label, score, kept, support, x1, y1, x2, y2, merged_into, rle = '' AS no_mask
    FROM regions WHERE image_id IN (FROM sampled)
),
detectors AS (SELECT count(DISTINCT producer) AS number FROM boxes WHERE merged_into <> '' AND no_mask),
supported AS (
    SELECT *, CASE WHEN len(support) = 0 THEN [producer]
           ELSE list_distinct(list_transform(support, lambda id: split_part(id, '/', 1))) END AS producers
    FROM boxes WHERE kind = 'object' AND kept IS NOT false AND merged_into = ''
),
few AS (
    SELECT image_id, avg(len(producers)) - 1e-6 * count(*) AS place
    FROM supported, detectors WHERE number > 1 AND len(support) > 0 GROUP BY image_id
    HAVING avg(len(producers)) < any_value(number)
),
others AS (
    SELECT image_id, label, score, support, producer, x1, y1, x2, y2
    FROM boxes WHERE merged_into = '' AND kind = 'object'
),
labels AS (
    SELECT s.image_id, -max(coalesce(o.score, 1)) AS place
    FROM supported s JOIN others o ON o.image_id = s.image_id AND o.label <> s.label
     AND least(s.x2, o.x2) > greatest(s.x1, o.x1) AND least(s.y2, o.y2) > greatest(s.y1, o.y1)
     AND coalesce(o.score, 1) >= 0.5 * coalesce(s.score, 1),
    LATERAL (SELECT (least(s.x2, o.x2) - greatest(s.x1, o.x1)) * (least(s.y2, o.y2) - greatest(s.y1, o.y1)) AS shared)
    WHERE shared >= 0.6 * ((s.x2 - s.x1) * (s.y2 - s.y1) + (o.x2 - o.x1) * (o.y2 - o.y1) - shared)
      AND NOT list_has_any(s.producers, CASE WHEN len(o.support) = 0 THEN [o.producer]
                           ELSE list_transform(o.support, lambda id: split_part(id, '/', 1)) END)
    GROUP BY s.image_id
),
reasons AS (
    SELECT 'At random' AS reason, image_id, 0.0 AS place FROM images
    UNION ALL FROM by_score
    UNION ALL SELECT 'Dropped most by ' || rule, image_id, -number FROM drops WHERE rule IN (FROM listed)
    UNION ALL SELECT 'Barely dropped by ' || rule, image_id, distance FROM drops
              WHERE rule IN (FROM listed) AND distance <= 0.5
    UNION ALL SELECT 'Barely passed ' || rule, image_id, place FROM passed
    UNION ALL SELECT 'Few detectors agree', image_id, place FROM few
    UNION ALL SELECT 'Detectors give other labels', image_id, place FROM labels
    UNION ALL SELECT 'Changed by a round: ' || rule, image_id, -count(*) FROM changes GROUP BY rule, image_id
    UNION ALL SELECT 'Failed: ' || reason, image_id, -count(*) FROM failures
              WHERE image_id IS NOT NULL AND reason <> 'skipped' GROUP BY reason, image_id
),
best AS (
    SELECT reason, arg_min(image_id, (place, md5(reason || image_id)),
                           CASE WHEN reason = 'At random' THEN 200 ELSE 24 END) AS ids
    FROM reasons GROUP BY reason
)
SELECT reason, generate_subscripts(ids, 1)::INTEGER AS place, unnest(ids) AS image_id
FROM best
ORDER BY reason <> 'At random', reason, place
