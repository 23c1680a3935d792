-- Which nouns of kept texts are not grounded in a kept region, how often, and in which image for example?
-- A noun is the head of a noun chunk of the parse (not a pronoun). It is grounded if it lies in a
-- kept phrase that names a kept region. `said` counts it in all kept texts. The example is the image with the lowest id.
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
