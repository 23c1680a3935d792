-- How many texts of each granularity does each producer write, how many are kept, and how long and complex are they?
SELECT t.granularity, t.producer, count(*) AS texts, count(*) FILTER (t.kept) AS kept,
       round(avg(p.tokens), 2) AS mean_tokens, round(avg(len(p.objects)), 2) AS mean_objects,
       round(avg(p.object_complexity.mean), 2) AS mean_object_complexity
FROM texts t LEFT JOIN parse p ON p.text_key = t.text_key
GROUP BY t.granularity, t.producer
ORDER BY mean_tokens, t.granularity, t.producer
