-- How many regions does each producer propose, how many are kept, merged or dropped, and with which mean scores?
SELECT producer, count(*) AS given, count(*) FILTER (kept) AS kept,
       count(*) FILTER (merged_into <> '') AS merged, count(*) FILTER (NOT kept AND merged_into = '') AS dropped,
       round(avg(score) FILTER (kept), 3) AS mean_score_kept,
       round(avg(score) FILTER (NOT kept AND merged_into = ''), 3) AS mean_score_dropped
FROM regions
GROUP BY producer
ORDER BY given DESC, producer
