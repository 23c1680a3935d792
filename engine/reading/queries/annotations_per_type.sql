-- How many annotations of each type were made, and how many are kept, dropped or not judged yet?
SELECT annotation_type, count(*) AS given, count(*) FILTER (kept) AS kept, count(*) FILTER (NOT kept) AS dropped,
       count(*) FILTER (kept IS NULL) AS pending
FROM (
    SELECT 'texts' AS annotation_type, kept FROM texts
    UNION ALL SELECT 'regions', kept FROM regions
    UNION ALL SELECT 'region_texts', kept FROM region_texts
    UNION ALL SELECT 'phrases', kept FROM phrases
    UNION ALL SELECT 'tags', kept FROM tags
    UNION ALL SELECT 'image_scores', kept FROM image_scores
)
GROUP BY annotation_type
ORDER BY given DESC, annotation_type
