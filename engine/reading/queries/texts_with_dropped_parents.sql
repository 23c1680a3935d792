-- Which kept texts, region texts and phrases were made from an annotation that is dropped?
-- There should be none. A merged region counts as the region it was merged into. Annotations that people made, or that
-- people's annotations refer to, are left out, because rules do not drop them.
WITH RECURSIVE fates AS (
    SELECT image_id, annotation_id, kept, rule, merged_into FROM regions
    UNION ALL SELECT image_id, annotation_id, kept, rule, '' FROM texts
    UNION ALL SELECT image_id, annotation_id, kept, rule, '' FROM region_texts
    UNION ALL SELECT image_id, annotation_id, kept, rule, '' FROM phrases
),
led AS (
    SELECT image_id, annotation_id, merged_into AS target FROM fates WHERE merged_into <> ''
    UNION
    SELECT l.image_id, l.annotation_id, f.merged_into
    FROM led l JOIN fates f ON f.image_id = l.image_id AND f.annotation_id = l.target
    WHERE f.merged_into <> ''
),
stand_for AS (
    SELECT l.image_id, l.annotation_id, bool_or(f.kept) AS kept
    FROM led l JOIN fates f ON f.image_id = l.image_id AND f.annotation_id = l.target
    GROUP BY ALL
),
made AS (
    SELECT 'text' AS kind, image_id, annotation_id, producer, text AS words, unnest(parents) AS parent
    FROM kept.texts WHERE score IS NOT NULL
      AND (image_id, annotation_id) NOT IN (SELECT (image_id, text_id) FROM phrases WHERE score IS NULL)
    UNION ALL
    SELECT 'region text', image_id, annotation_id, producer, text, unnest(parents)
    FROM kept.region_texts WHERE score IS NOT NULL
    UNION ALL
    SELECT 'phrase', p.image_id, p.annotation_id, p.producer, t.text[p.char_start + 1 : p.char_end], unnest(p.parents)
    FROM kept.phrases p JOIN texts t ON t.image_id = p.image_id AND t.annotation_id = p.text_id
    WHERE p.score IS NOT NULL
)
SELECT m.kind, m.image_id, m.annotation_id, m.producer, m.words, m.parent, f.rule AS dropped_by
FROM made m JOIN fates f ON f.image_id = m.image_id AND f.annotation_id = m.parent
     LEFT JOIN stand_for s ON s.image_id = m.image_id AND s.annotation_id = m.parent
WHERE NOT coalesce(s.kept, f.kept)
ORDER BY m.image_id, m.kind, m.annotation_id, m.parent
