-- Which images and annotations are nearest to the threshold of each rule: the last ones taken, the first ones kept?
-- Reads `rule_values`, which `engine report` makes from a sample of shards. `taken` was dropped by the rule, `kept` passed
-- all rules. Shows 4 on either side, of the 16 rules that took most rows of the sample;
-- rules that took nothing come last.
-- `what`: the label or the first 120 characters of the text; of an image its size.
WITH rules AS (
    SELECT annotation_type, rule, bool_and(kept) AS took_nothing FROM rule_values GROUP BY annotation_type, rule
    ORDER BY count(*) FILTER (NOT kept) DESC, count(*) DESC, annotation_type, rule LIMIT 16
),
nearest AS (
    SELECT v.*, took_nothing, CASE WHEN kept THEN 'kept' ELSE 'taken' END AS outcome,
           row_number() OVER (PARTITION BY annotation_type, rule, kept
                                   ORDER BY abs("value" - threshold), image_id, annotation_id) AS nth
    FROM rule_values v JOIN rules USING (annotation_type, rule)
    QUALIFY nth <= 4
),
shown AS (
    SELECT 'images' AS annotation_type, image_id, '' AS annotation_id, concat(width, ' x ', height) AS what FROM images
    UNION ALL SELECT 'texts', image_id, annotation_id, text FROM texts
    UNION ALL SELECT 'regions', image_id, annotation_id, CASE kind WHEN 'object' THEN label ELSE kind END FROM regions
    UNION ALL SELECT 'region_texts', image_id, annotation_id, text FROM region_texts
    UNION ALL SELECT 'phrases', p.image_id, p.annotation_id,
                     substring(t.text, p.char_start + 1, p.char_end - p.char_start)
              FROM phrases p JOIN nearest n ON n.annotation_type = 'phrases' AND n.image_id = p.image_id
                                           AND n.annotation_id = p.annotation_id
              JOIN texts t ON t.image_id = p.image_id AND t.annotation_id = p.text_id
    UNION ALL SELECT 'tags', image_id, annotation_id, label FROM tags
    UNION ALL SELECT 'image_scores', image_id, annotation_id, name FROM image_scores
)
SELECT n.annotation_type, n.rule, n.outcome, n."value", n.threshold, left(s.what, 120) AS what, n.image_id,
       n.annotation_id
FROM nearest n LEFT JOIN shown s USING (annotation_type, image_id, annotation_id)
ORDER BY took_nothing, array_position(['images', 'texts', 'regions', 'region_texts', 'phrases', 'tags', 'image_scores'],
                                      n.annotation_type), n.place, n.rule, n.outcome DESC, n.nth
