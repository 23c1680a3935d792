-- How long is the tail of nouns: how many do kept texts have, how few make half of all, and how many occur only once?
-- Nouns are counted as in noun_ranks. times: all occurrences.
WITH texts AS (SELECT text_key, count(*) AS number FROM kept.texts GROUP BY text_key),
counted AS (
    SELECT noun, sum(number) AS times
    FROM (SELECT t.number, unnest(p.objects) AS noun FROM texts t JOIN parse p ON p.text_key = t.text_key)
    GROUP BY noun
),
ranked AS (
    SELECT times, row_number() OVER (ORDER BY times DESC, noun) AS rank, sum(times) OVER () AS total,
           sum(times) OVER (ORDER BY times DESC, noun) AS so_far
    FROM counted
)
SELECT count(*) AS nouns, coalesce(sum(times), 0)::BIGINT AS times,
       round(sum(times) FILTER (rank <= 10) / sum(times), 4) AS share_of_ten_commonest,
       min(rank) FILTER (2 * so_far >= total) AS nouns_with_half,
       count(*) FILTER (times = 1) AS nouns_with_one,
       round(count(*) FILTER (times = 1) / nullif(count(*), 0), 4) AS share_of_nouns_with_one,
       round(sum(times) FILTER (rank > 100) / sum(times), 4) AS share_beyond_rank_100
FROM ranked
HAVING count(*) > 0
