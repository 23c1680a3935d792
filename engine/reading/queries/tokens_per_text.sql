-- How long are the kept texts of each granularity, in tokens, beside the mean that FLD-5B has (Florence-2, table 2)?
-- Tokens by spaCy without punctuation, of kept texts with a parse. Bins are 1 token wide for brief texts, 4 for
-- detailed and 8 for more detailed ones; the last of the 40 bins has all longer texts too (tokens_to is null). Bins
-- without texts between the shortest and the longest one are shown with 0. mean_tokens, fld5b_tokens: of all texts of
-- the granularity.
WITH granularities(granularity, width, fld5b_tokens) AS (
    VALUES ('brief', 1, 7.95::DOUBLE), ('detailed', 4, 31.65), ('more_detailed', 8, 70.53)
),
parsed AS (
    SELECT t.granularity, p.tokens FROM kept.texts t JOIN parse p ON p.text_key = t.text_key AND len(p.failures) = 0
),
binned AS (
    SELECT granularity, least(p.tokens // width, 39) AS bin, count(*) AS texts, sum(p.tokens) AS tokens
    FROM parsed p JOIN granularities USING (granularity) GROUP BY ALL
),
totals AS (
    SELECT granularity, sum(texts) AS texts, sum(tokens) / sum(texts) AS mean_tokens, min(bin) AS first,
           max(bin) AS last
    FROM binned GROUP BY granularity
),
bins AS (SELECT granularity, unnest(range(first, last + 1)) AS bin FROM totals)
SELECT granularity, (bin * width)::BIGINT AS tokens_from,
       CASE WHEN bin < 39 THEN ((bin + 1) * width)::BIGINT END AS tokens_to, coalesce(b.texts, 0) AS texts,
       round(coalesce(b.texts, 0) / t.texts, 6) AS share, round(t.mean_tokens, 2) AS mean_tokens, fld5b_tokens
FROM bins JOIN totals t USING (granularity) JOIN granularities USING (granularity)
     LEFT JOIN binned b USING (granularity, bin)
ORDER BY array_position(['brief', 'detailed', 'more_detailed'], granularity), bin
