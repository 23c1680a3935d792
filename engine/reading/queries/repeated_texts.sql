-- Which kept texts occur most often, and how large a share of their granularity are they?
-- Texts that occur once are left out. Shows the ten most frequent of each granularity; producers: up to five of them.
WITH counted AS (
    SELECT granularity, text_key, min(text) AS text, count(*) AS number, count(DISTINCT image_id) AS images,
           list_sort(list(DISTINCT producer))[:5] AS producers
    FROM kept.texts GROUP BY granularity, text_key
)
SELECT granularity, number, round(number / total, 4) AS share, images, producers, left(text, 300) AS text
FROM counted JOIN (SELECT granularity, count(*) AS total FROM kept.texts GROUP BY granularity) USING (granularity)
WHERE number > 1
QUALIFY row_number() OVER (PARTITION BY granularity ORDER BY number DESC, text_key) <= 10
ORDER BY coalesce(array_position(['brief', 'detailed', 'more_detailed'], granularity), 9), number DESC, text_key
