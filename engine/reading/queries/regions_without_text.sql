-- Which kept object regions does no kept text mention, by label, and on which image for example?
-- A region is mentioned if a kept phrase names it. Regions of read text are left out: they are not spoken of.
SELECT r.label, count(*) FILTER (t.region_id IS NULL) AS without_text, count(*) AS kept,
       round(without_text / count(*), 3) AS share, min(r.image_id) FILTER (t.region_id IS NULL) AS example_image
FROM kept.regions r LEFT JOIN (SELECT DISTINCT image_id, region_id FROM kept.triplets) t
  ON t.image_id = r.image_id AND t.region_id = r.annotation_id
WHERE r.kind = 'object'
GROUP BY r.label
HAVING without_text > 0
ORDER BY without_text DESC, r.label
LIMIT 100
