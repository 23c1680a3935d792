-- Which kept phrases name which regions: the words, how many regions, and the text they are part of?
SELECT p.image_id, t.text[p.char_start + 1 : p.char_end] AS words, len(p.region_ids) AS n_regions, t.granularity, t.text
FROM phrases p JOIN texts t ON t.image_id = p.image_id AND t.annotation_id = p.text_id
WHERE p.kept
ORDER BY p.image_id, t.annotation_id, p.char_start
LIMIT 200
