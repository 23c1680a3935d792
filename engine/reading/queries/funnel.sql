-- How many annotations did each rule drop, in the order of the rules, and how many are kept?
-- given = kept + all that were dropped + pending (not judged yet). `given` is counted in the files of the nodes, the rest
-- in the verdicts. Order of steps: failed and merged, then the rules in the order of the last run's recipe, then other
-- rules by count, then annotations dropped with another one (image_dropped, text_dropped, region_dropped).
WITH rules AS (
    SELECT CASE json_type(told) WHEN 'OBJECT' THEN json_keys(told)[1] ELSE told ->> '$' END AS rule, min(nth) AS nth
    FROM (SELECT unnest(told) AS told, generate_subscripts(told, 1) AS nth
          FROM (SELECT from_json(json_extract(recipe, '$.filter'), '["JSON"]') AS told FROM runs
                WHERE json_valid(recipe) ORDER BY run DESC LIMIT 1))
    GROUP BY rule
),
judged AS (
    SELECT 'images' AS annotation_type, image AS v FROM raw.verdicts
    UNION ALL SELECT 'texts', unnest(texts) FROM raw.verdicts
    UNION ALL SELECT 'regions', unnest(regions) FROM raw.verdicts
    UNION ALL SELECT 'region_texts', unnest(region_texts) FROM raw.verdicts
    UNION ALL SELECT 'phrases', unnest(phrases) FROM raw.verdicts
    UNION ALL SELECT 'tags', unnest(tags) FROM raw.verdicts
    UNION ALL SELECT 'image_scores', unnest(image_scores) FROM raw.verdicts
),
given AS (
    SELECT g.annotation_type, sum(g.number) AS number, sum(g.number) FILTER (j.image_id IS NULL) AS pending
    FROM raw.given g LEFT JOIN (SELECT image_id FROM raw.verdicts) j ON j.image_id = g.image_id
    GROUP BY g.annotation_type
),
steps AS (
    SELECT annotation_type, 'given' AS step, number, -1 AS place FROM given
    UNION ALL
    SELECT annotation_type, v.rule, count(*), CASE WHEN v.rule IN ('failed', 'merged') THEN 0
           WHEN v.rule IN ('image_dropped', 'text_dropped', 'region_dropped') THEN 2000
           ELSE coalesce(any_value(r.nth), 1000) END
    FROM judged j LEFT JOIN rules r ON r.rule = split_part(j.v.rule, '.', 1)
    WHERE NOT v.kept GROUP BY annotation_type, v.rule
    UNION ALL
    SELECT annotation_type, 'kept', count(*) FILTER (v.kept), 3000 FROM judged GROUP BY annotation_type
    UNION ALL
    SELECT annotation_type, 'pending', pending, 3001 FROM given WHERE pending > 0
)
SELECT annotation_type, step, number::BIGINT AS number,
       round(number / max(number) FILTER (step = 'given') OVER (PARTITION BY annotation_type), 4) AS share
FROM steps
WHERE number > 0
ORDER BY array_position(['images', 'texts', 'regions', 'region_texts', 'phrases', 'tags', 'image_scores'],
                        annotation_type), place, number DESC, step
