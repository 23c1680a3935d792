-- Which share of the kept regions does a kept text mention, by kind and producer, and by label?
-- A region is mentioned if a kept phrase names it. First rows: by kind and producer, with the label 'all'. Then the 50
-- labels with the most kept object regions, of all producers together. Printed text is rarely mentioned in captions.
WITH regions AS MATERIALIZED (
    SELECT r.kind, r.producer, r.label, count(*) AS regions, count(t.region_id) AS mentioned
    FROM kept.regions r LEFT JOIN (SELECT DISTINCT image_id, region_id FROM kept.triplets) t
      ON t.image_id = r.image_id AND t.region_id = r.annotation_id
    GROUP BY r.kind, r.producer, r.label
),
rows AS (
    (SELECT 1 AS part, kind, producer, 'all' AS label, sum(regions)::BIGINT AS regions,
            sum(mentioned)::BIGINT AS mentioned
     FROM regions GROUP BY kind, producer ORDER BY regions DESC, kind, producer LIMIT 50)
    UNION ALL
    (SELECT 2, kind, 'all', label, sum(regions)::BIGINT AS regions, sum(mentioned)::BIGINT
     FROM regions WHERE kind = 'object' GROUP BY kind, label ORDER BY regions DESC, label LIMIT 50)
)
SELECT kind, producer, label, regions, mentioned, round(mentioned / regions, 3) AS share
FROM rows
ORDER BY part, regions DESC, kind, producer, label
