-- In which languages are the texts, by producer?
-- Counts the scores named `language`, of which a node that identifies languages gives one for each text. und: without
-- words. kept: texts that the rules keep. Shows the 20 most frequent languages of each producer of texts; short texts
-- are often taken for another language.
WITH scored AS (
    SELECT t.producer, s.code AS language, s.value, t.kept
    FROM image_scores s JOIN texts t ON t.image_id = s.image_id AND t.annotation_id = s.parents[1]
    WHERE s.name = 'language'
)
SELECT producer, language, count(*) AS texts, count(*) FILTER (kept) AS kept,
       round(count(*) / sum(count(*)) OVER (PARTITION BY producer), 4) AS share, round(median(value), 3) AS median_score
FROM scored
GROUP BY producer, language
QUALIFY row_number() OVER (PARTITION BY producer ORDER BY count(*) DESC, language) <= 20
ORDER BY texts DESC, producer, language
LIMIT 100
