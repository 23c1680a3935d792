-- How large are the images: how many pixels has the shorter side?
-- Bins that double: below 64, 64 to 127, and so on to 4096 or more.
WITH sized AS (
    SELECT least(greatest(floor(log2(least(width, height))), 5), 12)::INTEGER AS bin, kept FROM images WHERE width > 0
)
SELECT CASE bin WHEN 5 THEN 'below 64' WHEN 12 THEN '4096 or more'
            ELSE format('{} to {}', (2 ** bin)::INTEGER, (2 ** (bin + 1) - 1)::INTEGER) END AS shorter_side,
       count(*) AS images, count(*) FILTER (kept) AS kept,
       round(count(*) / sum(count(*)) OVER (), 4) AS share
FROM sized
GROUP BY bin
ORDER BY bin
