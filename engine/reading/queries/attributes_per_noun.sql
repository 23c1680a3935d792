-- Which attributes do the commonest nouns of kept texts have?
-- Nouns are the heads of noun phrases of the parse (no pronouns), as they are written, in lower case. Attributes are
-- the other words of the phrase that are strict attributes of the text: adjectives, numbers and participles.
-- Shows the 20 commonest nouns, each with its six commonest attributes; one without attributes has a row with null.
-- phrases: all with this noun. attributes: all of this noun. share: of the phrases, those with this attribute.
WITH texts AS (SELECT text_key, count(*) AS number FROM kept.texts GROUP BY text_key),
parsed AS MATERIALIZED (
    SELECT t.number, p.objects, p.attributes, p.chunks FROM texts t JOIN parse p ON p.text_key = t.text_key
),
nouns AS (
    SELECT c.head AS noun, sum(number)::BIGINT AS phrases
    FROM (SELECT number, objects, unnest(chunks) AS c FROM parsed)
    WHERE list_contains(objects, c.head) GROUP BY noun
    ORDER BY phrases DESC, noun LIMIT 20
),
described AS (
    SELECT c.head AS noun, number, attributes, regexp_extract_all(lower(c.text), '[\p{L}\p{M}\p{N}]+') AS words
    FROM (SELECT number, attributes, unnest(chunks) AS c FROM parsed WHERE len(attributes) > 0)
    WHERE c.head IN (SELECT noun FROM nouns) AND c.text <> c.head
),
named AS (
    SELECT noun, number, unnest(list_distinct(list_intersect(words[:-2], attributes))) AS attribute FROM described
),
counted AS (
    SELECT noun, attribute, sum(number)::BIGINT AS times, count(*) OVER (PARTITION BY noun) AS attributes
    FROM named GROUP BY noun, attribute
)
SELECT noun, n.phrases, coalesce(c.attributes, 0) AS attributes, c.attribute, coalesce(c.times, 0) AS times,
       round(coalesce(c.times, 0) / n.phrases, 4) AS share
FROM nouns n LEFT JOIN counted c USING (noun)
QUALIFY row_number() OVER (PARTITION BY noun ORDER BY c.times DESC, c.attribute) <= 6
ORDER BY n.phrases DESC, noun, times DESC, c.attribute
