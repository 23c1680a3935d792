-- How good were the labels of audit images before and after each round?
-- With 95 % intervals of the change.
-- All figures are against the labels of people, on images that no student was trained on; `vocabulary` (number of
-- labels) and `diversity` (share of different word pairs in captions) are about all images. At most 40 figures of a
-- round, those of all labels first.
WITH figures AS (
    SELECT "round", accepted, measures, unnest(map_keys(measures)) AS name FROM rounds
),
scores AS (
    SELECT "round", accepted, left(name, length(name) - length(' before')) AS figure, measures
    FROM figures WHERE ends_with(name, ' before')
)
SELECT "round", CASE WHEN accepted THEN 'accepted' ELSE 'refused' END AS decision, figure,
       round(measures[figure || ' before'], 4) AS before, round(measures[figure || ' after'], 4) AS after,
       round(measures[figure || ' after'] - measures[figure || ' before'], 4) AS change,
       round(measures[figure || ' change low'], 4) AS low, round(measures[figure || ' change high'], 4) AS high
FROM scores
QUALIFY row_number() OVER (PARTITION BY "round" ORDER BY contains(figure, ' of '), figure) <= 40
ORDER BY "round", contains(figure, ' of '), figure
