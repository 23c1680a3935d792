-- Which texts and boxes look wrong: repeated, missing, in other languages, not parsed, or as large as the image?
-- One row for each finding, the most serious first; `number` is a share, `expected` its limit. Limits: one text is a
-- fifth or more of 20 or more kept texts of a granularity (serious from half); texts of a granularity were made and
-- none is kept; no text of a granularity was made although there are others; a tenth of the texts (5 or more) in other
-- languages than the most frequent one; a hundredth of the kept texts without parse; half of the kept images without a
-- text; a tenth of the kept object boxes of a producer (5 or more) cover 98 % of their image or more.
WITH by_granularity AS (
    SELECT granularity, count(*) AS given, count(*) FILTER (kept) AS kept, count(*) FILTER (kept IS NOT NULL) AS judged
    FROM texts GROUP BY granularity
),
repeated AS (
    SELECT granularity, sum(number) AS texts, max(number) AS most, arg_max(text, (number, text_key)) AS example
    FROM (SELECT granularity, text_key, min(text) AS text, count(*) AS number FROM kept.texts GROUP BY ALL)
    GROUP BY granularity
),
languages AS (
    SELECT sum(number) AS texts, max(number) AS main, arg_max(code, (number, code)) AS name
    FROM (SELECT code, count(*) AS number FROM image_scores
          WHERE name = 'language' AND code NOT IN ('', 'und') GROUP BY code)
),
parsing AS (
    SELECT count(*) AS texts, count(*) FILTER (p.text_key IS NULL OR len(p.failures) > 0) AS unparsed,
           count(p.text_key) AS parses, mode(p.failures[1].reason) AS reason
    FROM kept.texts t LEFT JOIN parse p ON p.text_key = t.text_key
),
pictures AS (
    SELECT count(*) AS images, count(*) FILTER (t.image_id IS NULL) AS silent
    FROM kept.images i LEFT JOIN (SELECT DISTINCT image_id FROM kept.texts) t ON t.image_id = i.image_id
),
whole AS (
    SELECT producer, count(*) AS boxes,
           count(*) FILTER ((x2 - x1) * (y2 - y1) >= 0.98 * width::DOUBLE * height) AS covering
    FROM kept.regions r JOIN kept.images i ON i.image_id = r.image_id WHERE kind = 'object' GROUP BY producer
),
found AS (
    SELECT CASE WHEN most >= 0.5 * texts THEN 1 ELSE 2 END AS rank,
           format('{} of {} kept texts of granularity {} are the same: ''{}''.', most, texts, granularity,
                  left(example, 80)) AS finding,
           most / texts AS number, 'less than 20 %' AS expected, 'repeated_texts' AS figure
    FROM repeated WHERE texts >= 20 AND most >= 0.2 * texts
    UNION ALL
    SELECT 1, format('None of the {} texts of granularity {} is kept.', judged, granularity), 0, 'more than 0 %',
           'texts_by_granularity'
    FROM by_granularity WHERE judged >= 1 AND kept = 0
    UNION ALL
    SELECT 3, format('There is no text of granularity {}.', name), 0, 'more than 0 %', 'texts_by_granularity'
    FROM (SELECT unnest(['brief', 'detailed', 'more_detailed']) AS name)
    WHERE name NOT IN (SELECT granularity FROM by_granularity) AND EXISTS (FROM by_granularity)
    UNION ALL
    SELECT CASE WHEN texts - main >= 0.3 * texts THEN 1 ELSE 2 END,
           format('{} of {} texts are in other languages than {}, the most frequent one.', texts - main, texts, name),
           1 - main / texts, 'less than 10 %', 'languages'
    FROM languages WHERE texts - main >= 5 AND texts - main >= 0.1 * texts
    UNION ALL
    SELECT CASE WHEN unparsed >= 0.5 * texts THEN 1 ELSE 2 END,
           format('{} of {} kept texts have no parse{}.', unparsed, texts,
                  coalesce(', mostly with the reason ' || reason, '')),
           unparsed / texts, 'less than 1 %', 'texts_by_granularity'
    FROM parsing WHERE parses > 0 AND unparsed >= 0.01 * texts AND unparsed > 0
    UNION ALL
    SELECT 3, format('None of the {} kept texts is parsed: the recipe has no node that parses.', texts), 1,
           'less than 1 %', 'texts_by_granularity'
    FROM parsing WHERE texts > 0 AND parses = 0
    UNION ALL
    SELECT 2, format('{} of {} kept images have no kept text.', silent, images), silent / images, 'less than 50 %',
           'annotations_per_image'
    FROM pictures WHERE silent >= 0.5 * images AND images >= 10 AND EXISTS (FROM texts)
    UNION ALL
    SELECT CASE WHEN covering >= 0.5 * boxes THEN 1 ELSE 2 END,
           format('{} of {} kept boxes of producer ''{}'' cover the whole image.', covering, boxes, left(producer, 60)),
           covering / boxes, 'less than 10 %', 'spatial_area'
    FROM whole WHERE covering >= 5 AND covering >= 0.1 * boxes
)
SELECT ['serious', 'warning', 'note'][rank] AS severity, finding, round(number, 4) AS number, expected, figure
FROM found
ORDER BY rank, number DESC, finding
LIMIT 40
