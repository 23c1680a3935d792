-- Which shapes do the images have: width divided by height?
-- Each bin is a quarter of a doubling wide, from below 1:4 to 4:1 and more. 1 is square; above 1 is wider than high.
WITH shaped AS (
    SELECT least(greatest(round(4 * log2(width / height)), -8), 8)::INTEGER AS bin, kept
    FROM images WHERE height > 0 AND width > 0
)
SELECT round(2 ** (bin / 4), 2) AS width_by_height, count(*) AS images, count(*) FILTER (kept) AS kept,
       round(count(*) / sum(count(*)) OVER (), 4) AS share
FROM shaped
GROUP BY bin
ORDER BY bin
