-- How much of the kept texts is grounded: texts with a phrase, noun chunks and nouns in a phrase, by granularity?
-- A phrase counts if it is kept and names a kept region. A noun chunk is grounded if its end is in such a phrase. A
-- noun is the head of a noun chunk, not a pronoun (as in nouns_without_region). Chunks and nouns are of texts with
-- a parse. phrases_each: phrases of a text, on average; regions_each: regions that a phrase names. The producer wrote
-- the texts; rows with the producer 'all' are totals. Shows the first 100 rows.
WITH phrases AS MATERIALIZED (
    SELECT image_id, text_id, phrase_id, char_start, char_end, count(*) AS regions
    FROM kept.triplets GROUP BY ALL
),
spans AS (
    SELECT image_id, text_id, list({'a': char_start, 'b': char_end}) AS spans, count(*) AS phrases,
           sum(regions) AS regions
    FROM phrases GROUP BY image_id, text_id
),
counted AS (
    SELECT t.granularity, t.producer, coalesce(s.phrases, 0) AS phrases, coalesce(s.regions, 0) AS regions,
           len(p.chunks) AS chunks, len(list_filter(p.chunks, lambda c: list_contains(p.objects, c.head))) AS nouns,
           CASE WHEN s.spans IS NULL THEN [] ELSE list_filter(p.chunks, lambda c:
               len(list_filter(s.spans, lambda s: s.a < c.char_end AND c.char_end <= s.b)) > 0) END AS grounded,
           len(list_filter(grounded, lambda c: list_contains(p.objects, c.head))) AS grounded_nouns
    FROM kept.texts t LEFT JOIN spans s ON s.image_id = t.image_id AND s.text_id = t.annotation_id
         LEFT JOIN parse p ON p.text_key = t.text_key AND len(p.failures) = 0
)
SELECT granularity, CASE WHEN grouping(producer) = 1 THEN 'all' ELSE producer END AS producer, count(*) AS texts,
       count(*) FILTER (phrases = 0) AS without_phrase, round(without_phrase / texts, 3) AS share_without_phrase,
       sum(phrases)::BIGINT AS phrases, round(sum(phrases) / texts, 2) AS phrases_each,
       round(sum(regions) / nullif(sum(phrases), 0), 2) AS regions_each, sum(chunks)::BIGINT AS chunks,
       round(sum(len(grounded)) FILTER (chunks IS NOT NULL) / nullif(sum(chunks), 0), 3) AS grounded_chunks,
       sum(nouns)::BIGINT AS nouns, round(sum(grounded_nouns) / nullif(sum(nouns), 0), 3) AS grounded_nouns
FROM counted
GROUP BY GROUPING SETS ((granularity), (granularity, producer))
ORDER BY coalesce(array_position(['brief', 'detailed', 'more_detailed'], granularity), 9), granularity,
         grouping(producer) DESC, texts DESC, producer
LIMIT 100
