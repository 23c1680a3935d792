-- Which file formats do the images have, and how large are the files?
SELECT format, count(*) AS images, count(*) FILTER (kept) AS kept, round(count(*) / sum(count(*)) OVER (), 4) AS share,
       round(sum(bytes) / 1e6, 1) AS megabytes, round(median(bytes) / 1e3, 1) AS median_kilobytes
FROM images
GROUP BY format
ORDER BY images DESC, format
LIMIT 30
