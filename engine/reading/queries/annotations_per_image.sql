-- How many annotations do kept images have, by type?
-- Bins of the number of kept annotations of an image: 0, 1, 2, 3, 4, 5 to 9, and so on. Images without annotations of a
-- type are in the bin 0; a type that no image has is left out. share: of the kept images.
WITH kept_images AS (SELECT image_id FROM kept.images),
made AS (
    SELECT 'texts' AS annotation_type, image_id, count(*) AS number FROM kept.texts GROUP BY image_id
    UNION ALL SELECT 'regions', image_id, count(*) FROM kept.regions GROUP BY image_id
    UNION ALL SELECT 'region_texts', image_id, count(*) FROM kept.region_texts GROUP BY image_id
    UNION ALL SELECT 'phrases', image_id, count(*) FROM kept.phrases GROUP BY image_id
    UNION ALL SELECT 'tags', image_id, count(*) FROM kept.tags GROUP BY image_id
),
filled AS (
    SELECT t.annotation_type, coalesce(m.number, 0) AS number
    FROM (SELECT DISTINCT annotation_type FROM made) t CROSS JOIN kept_images i
         LEFT JOIN made m ON m.annotation_type = t.annotation_type AND m.image_id = i.image_id
),
binned AS (
    SELECT annotation_type,
           CASE WHEN number < 5 THEN number WHEN number < 10 THEN 5 WHEN number < 20 THEN 10 WHEN number < 50 THEN 20
                WHEN number < 100 THEN 50 ELSE 100 END AS bin_from, count(*) AS images
    FROM filled GROUP BY ALL
)
SELECT annotation_type, bin_from,
       CASE bin_from WHEN 5 THEN '5 to 9' WHEN 10 THEN '10 to 19' WHEN 20 THEN '20 to 49' WHEN 50 THEN '50 to 99'
            WHEN 100 THEN '100 or more' ELSE bin_from::VARCHAR END AS annotations,
       images, round(images / sum(images) OVER (PARTITION BY annotation_type), 4) AS share
FROM binned
ORDER BY bin_from, array_position(['texts', 'regions', 'region_texts', 'phrases', 'tags'], annotation_type)
