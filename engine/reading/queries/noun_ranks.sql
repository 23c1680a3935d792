-- How often do kept texts have which nouns, from the commonest to the rarest?
-- Nouns are the strict objects of semantic_coverage, as they are written, in lower case: "man" and "men" are two.
-- Shows the 20 commonest, then about 20 of every tenfold of ranks, and the last. share: of all nouns counted.
-- share_so_far: of the nouns up to this rank. noun_tail has the totals.
WITH texts AS (SELECT text_key, count(*) AS number FROM kept.texts GROUP BY text_key),
counted AS (
    SELECT noun, sum(number)::BIGINT AS times
    FROM (SELECT t.number, unnest(p.objects) AS noun FROM texts t JOIN parse p ON p.text_key = t.text_key)
    GROUP BY noun
),
ranked AS (
    SELECT row_number() OVER (ORDER BY times DESC, noun) AS rank, noun, times, times / sum(times) OVER () AS share,
           sum(times) OVER (ORDER BY times DESC, noun) / sum(times) OVER () AS share_so_far, count(*) OVER () AS nouns
    FROM counted
)
SELECT rank, noun, times, round(share, 6) AS share, round(share_so_far, 6) AS share_so_far
FROM ranked
WHERE rank <= 20 OR rank = nouns OR floor(20 * log10(rank)) > floor(20 * log10(rank - 1))
ORDER BY rank
