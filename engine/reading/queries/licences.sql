-- Under which licences are the images, and how many of them are kept?
-- As the source gives it; (none): the source gives none. Shows the 30 most frequent.
SELECT coalesce(nullif(left(licence, 200), ''), '(none)') AS licence, count(*) AS images,
       count(*) FILTER (kept) AS kept,
       round(count(*) / sum(count(*)) OVER (), 4) AS share
FROM images
GROUP BY ALL
ORDER BY images DESC, licence
LIMIT 30
