-- Which labels do kept object regions have, how often, in how many images, and how many regions were dropped?
SELECT label, count(*) FILTER (kept) AS kept, count(DISTINCT image_id) FILTER (kept) AS images,
       count(*) FILTER (NOT kept) AS dropped, round(avg(score) FILTER (kept), 3) AS mean_score
FROM regions
WHERE kind = 'object' AND merged_into = ''
GROUP BY label
ORDER BY kept DESC, label
LIMIT 50
