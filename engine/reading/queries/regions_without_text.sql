-- Which kept object regions are not mentioned in a kept text, by label, and in which image for example?
-- A region is mentioned if a kept phrase names it. Leaves out regions of printed text, which captions do not mention.
SELECT r.label, count(*) FILTER (t.region_id IS NULL) AS without_text, count(*) AS kept,
       round(without_text / count(*), 3) AS share, min(r.image_id) FILTER (t.region_id IS NULL) AS example_image
FROM kept.regions r LEFT JOIN (SELECT DISTINCT image_id, region_id FROM kept.triplets) t
  ON t.image_id = r.image_id AND t.region_id = r.annotation_id
WHERE r.kind = 'object'
GROUP BY r.label
HAVING without_text > 0
ORDER BY without_text DESC, r.label
LIMIT 100
