-- Which kept texts, region texts and phrases were made from an annotation that is dropped?
-- There should be none. A merged region counts as the region it was merged into. Annotations that people made, or that
-- people's annotations refer to, are left out, because rules do not drop them.
WITH RECURSIVE fates AS MATERIALIZED (
    SELECT 'region' AS kind, image_id, annotation_id, kept, rule, merged_into, NULL::VARCHAR AS producer,
           NULL::VARCHAR[] AS parents, NULL::VARCHAR AS text_of_people
    FROM regions
    UNION ALL
    SELECT 'text', image_id, annotation_id, kept, rule, '', producer, CASE WHEN score IS NOT NULL THEN parents END, NULL
    FROM texts
    UNION ALL
    SELECT 'region text', image_id, annotation_id, kept, rule, '', producer,
           CASE WHEN score IS NOT NULL THEN parents END, NULL
    FROM region_texts
    UNION ALL
    SELECT 'phrase', image_id, annotation_id, kept, rule, '', producer, CASE WHEN score IS NOT NULL THEN parents END,
           CASE WHEN score IS NULL THEN text_id END
    FROM phrases
),
-- Few are made from a merged or dropped annotation, so all that follows reads few rows.
made AS MATERIALIZED (
    SELECT m.*, f.kept AS parent_kept, f.rule AS dropped_by, f.merged_into
    FROM (SELECT kind, image_id, annotation_id, producer, unnest(parents) AS parent
          FROM fates WHERE kept AND len(parents) > 0) m
         JOIN fates f ON f.image_id = m.image_id AND f.annotation_id = m.parent
    WHERE NOT f.kept OR f.merged_into <> ''
),
near AS MATERIALIZED (
    SELECT image_id, annotation_id, kept, merged_into
    FROM fates WHERE image_id IN (SELECT image_id FROM made WHERE merged_into <> '')
),
led AS (
    SELECT image_id, parent AS annotation_id, merged_into AS target FROM made WHERE merged_into <> ''
    UNION
    SELECT l.image_id, l.annotation_id, f.merged_into
    FROM led l JOIN near f ON f.image_id = l.image_id AND f.annotation_id = l.target
    WHERE f.merged_into <> ''
),
stand_for AS (
    SELECT l.image_id, l.annotation_id, bool_or(f.kept) AS kept
    FROM led l JOIN near f ON f.image_id = l.image_id AND f.annotation_id = l.target
    GROUP BY ALL
),
lost AS MATERIALIZED (
    SELECT m.* FROM made m LEFT JOIN stand_for s ON s.image_id = m.image_id AND s.annotation_id = m.parent
    WHERE NOT coalesce(s.kept, m.parent_kept) AND m.image_id IN (SELECT image_id FROM images WHERE kept)
      AND NOT (m.kind = 'text' AND (m.image_id, m.annotation_id) IN (
          SELECT (image_id, text_of_people) FROM fates WHERE text_of_people IS NOT NULL))
),
words AS (
    SELECT image_id, annotation_id, text FROM texts WHERE image_id IN (SELECT image_id FROM lost WHERE kind = 'text')
    UNION ALL
    SELECT image_id, annotation_id, text FROM region_texts
    WHERE image_id IN (SELECT image_id FROM lost WHERE kind = 'region text')
    UNION ALL
    SELECT p.image_id, p.annotation_id, t.text[p.char_start + 1 : p.char_end]
    FROM phrases p JOIN texts t ON t.image_id = p.image_id AND t.annotation_id = p.text_id
    WHERE p.image_id IN (SELECT image_id FROM lost WHERE kind = 'phrase')
)
SELECT m.kind, m.image_id, m.annotation_id, m.producer, w.text AS words, m.parent, m.dropped_by
FROM lost m JOIN words w ON w.image_id = m.image_id AND w.annotation_id = m.annotation_id
ORDER BY m.image_id, m.kind, m.annotation_id, m.parent
