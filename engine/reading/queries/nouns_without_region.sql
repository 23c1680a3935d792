-- Which nouns do the kept texts say that no kept phrase grounds in a kept region, how often, and where for example?
-- A noun is the head of a noun chunk of the parse (pronouns are none). It is grounded if a kept phrase that names a kept
-- region holds it. `said` counts it in all kept texts; the example is the first such image's, by its id.
WITH spans AS (
    SELECT image_id, text_id, list({'a': char_start, 'b': char_end}) AS spans
    FROM kept.triplets GROUP BY image_id, text_id
),
said AS (
    SELECT t.image_id, t.text, s.spans, p.objects, unnest(p.chunks) AS c
    FROM kept.texts t JOIN parse p ON p.text_key = t.text_key
         LEFT JOIN spans s ON s.image_id = t.image_id AND s.text_id = t.annotation_id
),
nouns AS (
    SELECT c.head AS noun, image_id, text,
           len(list_filter(coalesce(spans, []), lambda s: s.a < c.char_end AND c.char_end <= s.b)) = 0 AS lost
    FROM said WHERE list_contains(objects, c.head)
)
SELECT noun, without_region, said, first.text AS example, first.image AS example_image
FROM (SELECT noun, count(*) FILTER (lost) AS without_region, count(*) AS said,
             min({'image': image_id, 'text': text}) FILTER (lost) AS first
      FROM nouns GROUP BY noun)
WHERE without_region > 0
ORDER BY without_region DESC, noun
LIMIT 100
