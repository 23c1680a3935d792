-- Which rules drop more than rules usually do, or much more of one producer or label than of the others?
-- One row for each finding, the most serious first. `number` is the share dropped by the rule, of what it drops and
-- what all rules keep; `expected` is the limit. Leaves out merged regions, annotations dropped with another one, and
-- those that people made, which no rule drops; also texts that a round of refinement replaced.
-- Limits, each for 10 annotations or more: a quarter of the images; half of texts, texts of regions or tags; nine
-- tenths of phrases; a third of the sure regions, or nine tenths of those of one producer or label (5 or more) while it drops less than half of the others. A region is sure if its score is at
-- least that of the lowest tenth of the kept regions of its producer. Also: producers of which nothing is kept, and
-- half of the kept images (10 or more) left without a region.
WITH judged AS MATERIALIZED (
    SELECT * FROM (
        SELECT 'images' AS type, '' AS producer, '' AS label, 0.5 AS score, kept, rule, image_id FROM images
        UNION ALL SELECT 'texts', producer, granularity, score, kept, rule, image_id FROM texts
        UNION ALL SELECT 'regions', producer, label, score, kept, rule, image_id FROM regions WHERE merged_into = ''
        UNION ALL SELECT 'region texts', producer, granularity, score, kept, rule, image_id FROM region_texts
        UNION ALL SELECT 'phrases', producer, '', score, kept, rule, image_id FROM phrases
        UNION ALL SELECT 'tags', producer, label, score, kept, rule, image_id FROM tags)
    WHERE kept IS NOT NULL AND score IS NOT NULL AND NOT ends_with(rule, '_dropped')
      AND split_part(rule, '.', 1) NOT IN ('failed', 'merged', 'near_duplicate', 'semantic_duplicate', 'refine')
),
floors AS (
    SELECT producer, quantile_cont(score, 0.1) AS floor FROM judged WHERE type = 'regions' AND kept GROUP BY producer
),
sure AS MATERIALIZED (
    SELECT j.* FROM judged j JOIN floors f USING (producer) WHERE type = 'regions' AND score >= floor
),
-- What each rule drops of each group of annotations, beside what is kept of the group.
groups AS (
    SELECT 'type' AS grouping, type, '' AS name, rule, kept FROM judged WHERE type <> 'regions'
    UNION ALL SELECT 'sure', type, '', rule, kept FROM sure
    UNION ALL SELECT 'producer', type, producer, rule, kept FROM sure
    UNION ALL SELECT 'producer', type, producer, rule, kept FROM judged WHERE type IN ('texts', 'region texts', 'tags')
    UNION ALL SELECT 'label', type, label, rule, kept FROM sure WHERE label <> ''
    UNION ALL SELECT 'granularity', type, label, rule, kept FROM judged WHERE type = 'texts'
),
counted AS (
    SELECT grouping, type, name, rule, count(*) AS number FROM groups GROUP BY ALL
),
shares AS (
    SELECT d.grouping, d.type, d.name, d.rule, d.number AS dropped, coalesce(k.number, 0) AS kept,
           d.number / (d.number + coalesce(k.number, 0)) AS share,
           sum(d.number) OVER same AS all_dropped, kept_of_all.number AS all_kept
    FROM counted d
         LEFT JOIN counted k ON k.rule = '' AND (k.grouping, k.type, k.name) = (d.grouping, d.type, d.name)
         LEFT JOIN (SELECT grouping, type, sum(number) AS number FROM counted WHERE rule = '' GROUP BY ALL) kept_of_all
           ON (kept_of_all.grouping, kept_of_all.type) = (d.grouping, d.type)
    WHERE d.rule <> ''
    WINDOW same AS (PARTITION BY d.grouping, d.type, d.rule)
),
compared AS (
    SELECT *, (all_dropped - dropped) / nullif(all_dropped - dropped + coalesce(all_kept, 0) - kept, 0) AS other_share
    FROM shares
),
empty_images AS (
    SELECT count(*) AS images, count(*) FILTER (NOT any_kept) AS emptied
    FROM (SELECT r.image_id, bool_or(r.kept) AS any_kept FROM regions r JOIN images i ON i.image_id = r.image_id
          WHERE i.kept AND r.kept IS NOT NULL GROUP BY r.image_id)
),
found AS (
    SELECT CASE WHEN share >= 0.9 OR (type = 'images' AND share >= 0.5) THEN 1 ELSE 2 END AS rank,
           format('Rule {} drops {} of {} {}.', rule, dropped, dropped + kept, type) AS finding, share,
           CASE type WHEN 'images' THEN 0.25 WHEN 'phrases' THEN 0.9 ELSE 0.5 END AS expected
    FROM compared WHERE grouping = 'type' AND dropped + kept >= 10
      AND share >= CASE type WHEN 'images' THEN 0.25 WHEN 'phrases' THEN 0.9 ELSE 0.5 END
    UNION ALL
    SELECT CASE WHEN share >= 0.6 THEN 1 ELSE 2 END,
           format('Rule {} drops {} of {} regions whose score is as high as that of kept regions.', rule, dropped,
                  dropped + kept), share, 1 / 3
    FROM compared WHERE grouping = 'sure' AND dropped + kept >= 10 AND share >= 1 / 3
    UNION ALL
    SELECT 1, format('Rule {} drops {} of {} {} of {} ''{}'', but only {:.0f} % of the others.', rule, dropped,
                  dropped + kept, type, grouping, left(name, 60), 100 * other_share), share, 0.9
    FROM compared WHERE grouping IN ('producer', 'label', 'granularity') AND share >= 0.9 AND other_share < 0.5
      AND dropped + kept >= CASE grouping WHEN 'label' THEN 5 ELSE 10 END
    UNION ALL
    SELECT CASE type WHEN 'phrases' THEN 2 ELSE 1 END, -- phrases without a region are dropped in any healthy set
           format('None of the {} {} of producer ''{}'' is kept.', count(*), type, left(producer, 60)), 1, 0.99
    FROM judged WHERE type <> 'images' GROUP BY type, producer HAVING count(*) >= 10 AND count(*) FILTER (kept) = 0
    UNION ALL
    SELECT 1, format('Of {} kept images with regions, {} have no kept region.', images, emptied), emptied / images, 0.5
    FROM empty_images WHERE images >= 10 AND emptied >= 0.5 * images
)
SELECT ['serious', 'warning', 'note'][rank] AS severity, finding, round(share, 4) AS number,
       format('less than {:.0f} %', 100 * expected) AS expected, 'funnel' AS figure
FROM found
ORDER BY rank, share DESC, finding
LIMIT 40
