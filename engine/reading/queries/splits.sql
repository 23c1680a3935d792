-- How many images are in each split, and how many annotations do they have?
-- train: for releases. audit-fit and audit-test: set aside for measuring. held: near-duplicates of audit images.
WITH counted AS (
    SELECT image_id, sum(number) AS number FROM (
        SELECT image_id, count(*) AS number FROM texts GROUP BY image_id
        UNION ALL SELECT image_id, count(*) FROM regions GROUP BY image_id)
    GROUP BY image_id
)
SELECT split, count(*) AS images, count(*) FILTER (kept) AS kept, round(count(*) / sum(count(*)) OVER (), 4) AS share,
       coalesce(sum(number), 0)::BIGINT AS texts_and_regions
FROM images LEFT JOIN counted USING (image_id)
GROUP BY split
ORDER BY coalesce(array_position(['train', 'valid', 'test', 'audit-fit', 'audit-test', 'held'], split), 9), split
