-- What did each rule drop, and at which values, in the order of the rules?
-- `taken`: dropped by the rule. `share`: of all rows of this type that are judged. `share_of_left`: of the rows that the
-- steps above it left. The least and greatest value and threshold are those of the dropped rows; null for steps that
-- compare no numbers. Steps are ordered as in the query funnel: failed and merged, the rules in the order of the last
-- run's recipe, other rules, and rows that went with another one (image_dropped, text_dropped, region_dropped, ...).
WITH rules AS (
    SELECT CASE json_type(told) WHEN 'OBJECT' THEN json_keys(told)[1] ELSE told ->> '$' END AS rule, min(nth) AS nth
    FROM (SELECT unnest(told) AS told, generate_subscripts(told, 1) AS nth
          FROM (SELECT from_json(json_extract(recipe, '$.filter'), '["JSON"]') AS told FROM runs
                WHERE json_valid(recipe) ORDER BY run DESC LIMIT 1))
    GROUP BY rule
),
judged AS (
    SELECT annotation_type, rule, count(*) AS number, min("value") AS least_value, max("value") AS greatest_value,
           min(threshold) AS least_threshold, max(threshold) AS greatest_threshold
    FROM verdicts WHERE kept IS NOT NULL GROUP BY annotation_type, rule
),
steps AS (
    SELECT j.*, CASE WHEN j.rule IN ('failed', 'merged') THEN 0
           WHEN j.rule IN ('image_dropped', 'text_dropped', 'region_dropped', 'parent_dropped', 'parent_renamed') THEN 2000
           WHEN j.rule = '' THEN 3000 ELSE coalesce(r.nth, 1000) END AS place
    FROM judged j LEFT JOIN rules r ON r.rule = split_part(j.rule, '.', 1)
),
shares AS (
    SELECT *, sum(number) OVER (PARTITION BY annotation_type) AS given,
           sum(number) OVER (PARTITION BY annotation_type ORDER BY place DESC, number, rule DESC) AS reached
    FROM steps
)
SELECT annotation_type, rule, number AS taken, round(number / given, 4) AS share,
       round(number / reached, 4) AS share_of_left, least_value, greatest_value, least_threshold, greatest_threshold
FROM shares
WHERE rule <> ''
ORDER BY array_position(['images', 'texts', 'regions', 'region_texts', 'phrases', 'tags', 'image_scores'],
                        annotation_type), place, taken DESC, rule
LIMIT 300
