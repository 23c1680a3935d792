-- How many annotations of each type are kept, and how long are they, compared with FLD-5B (Florence-2, table 2)?
-- text: image_annotations = kept texts; avg_tokens = tokens by spaCy without punctuation, in texts with a parse.
-- region-text: regions = pairs of a kept region and its text; image_annotations = images with such a pair. text_type
-- phrase: the label of an object region; brief, ocr: its region texts (candidates are not counted).
-- text-phrase-region: image_annotations = texts with a grounded phrase; regions = pairs of a kept phrase and a kept
-- region it names, so a region that two phrases name counts twice; avg_tokens: tokens of those texts.
-- avg_regions = regions / image_annotations. avg_regional_tokens = words in the label, region text or phrase of each
-- pair. These are not parsed: a word is a run of letters and digits.
WITH published(type, text_type, image_annotations, avg_tokens, regions, avg_regions, avg_regional_tokens) AS (VALUES
    ('text', 'brief', 235000000, 7.95, NULL, NULL, NULL),
    ('text', 'detailed', 126000000, 31.65, NULL, NULL, NULL),
    ('text', 'more_detailed', 126000000, 70.53, NULL, NULL, NULL),
    ('region-text', 'phrase', 126000000, NULL, 681000000, 5.42, 1.19),
    ('region-text', 'brief', 126000000, NULL, 681000000, 5.42, 2.55),
    ('text-phrase-region', 'brief', 235000000, 7.95, 1007000000, 4.27, 1.93),
    ('text-phrase-region', 'detailed', 126000000, 31.65, 1289000000, 10.25, 1.49),
    ('text-phrase-region', 'more_detailed', 126000000, 70.53, 1278000000, 10.17, 1.35)
),
written AS MATERIALIZED (
    SELECT row_number() OVER () AS nth, t.image_id, t.annotation_id, t.granularity, t.text, p.tokens
    FROM kept.texts t LEFT JOIN parse p ON p.text_key = t.text_key
),
-- One row for each pair with its words: a span of a text, a label, or the text of a region.
spans AS MATERIALIZED (
    SELECT w.nth, w.granularity,
           substring(w.text, r.char_start + 1, r.char_end - r.char_start) AS words
    FROM kept.triplets r JOIN written w ON w.image_id = r.image_id AND w.annotation_id = r.text_id
),
described AS MATERIALIZED (
    SELECT 'phrase' AS text_type, image_id, label AS words FROM kept.regions WHERE kind = 'object' AND label <> ''
    UNION ALL
    SELECT granularity, image_id, text FROM kept.region_texts WHERE granularity <> 'candidate'
),
-- Many pairs have the same words, which are counted once.
wordings AS (
    SELECT type, text_type, words, count(*) AS regions
    FROM (SELECT 'region-text' AS type, text_type, words FROM described
          UNION ALL SELECT 'text-phrase-region', granularity, words FROM spans)
    GROUP BY ALL
),
-- Most words are letters and single spaces, for which counting spaces takes a third of the time.
counted AS (
    SELECT type, text_type, sum(regions) AS regions, sum(regions *
           CASE WHEN regexp_full_match(words, '[\p{L}\p{M}\p{N}]+( [\p{L}\p{M}\p{N}]+)*')
                THEN length(words) - length(replace(words, ' ', '')) + 1
                ELSE len(regexp_extract_all(words, '[\p{L}\p{M}\p{N}]+')) END) AS words
    FROM wordings GROUP BY type, text_type
),
annotated AS (
    SELECT 'text' AS type, granularity AS text_type, count(*) AS image_annotations, avg(tokens) AS avg_tokens
    FROM written GROUP BY granularity
    UNION ALL
    SELECT 'region-text', text_type, count(DISTINCT image_id), NULL FROM described GROUP BY text_type
    UNION ALL
    SELECT 'text-phrase-region', granularity, count(*), avg(tokens)
    FROM written WHERE nth IN (SELECT nth FROM spans) GROUP BY granularity
),
ours AS (SELECT a.*, c.regions, c.words FROM annotated a LEFT JOIN counted c USING (type, text_type))
SELECT type, text_type, coalesce(o.image_annotations, 0) AS image_annotations, round(o.avg_tokens, 2) AS avg_tokens,
       o.regions::BIGINT AS regions, round(o.regions / o.image_annotations, 2) AS avg_regions,
       round(o.words / o.regions, 2) AS avg_regional_tokens,
       f.image_annotations AS fld5b_image_annotations, f.avg_tokens::DOUBLE AS fld5b_avg_tokens, f.regions AS fld5b_regions,
       f.avg_regions::DOUBLE AS fld5b_avg_regions, f.avg_regional_tokens::DOUBLE AS fld5b_avg_regional_tokens
FROM published f FULL JOIN ours o USING (type, text_type)
ORDER BY array_position(['text', 'region-text', 'text-phrase-region'], type),
         coalesce(array_position(['phrase', 'brief', 'detailed', 'more_detailed'], text_type), 9), text_type
