-- How many images and annotations are kept, and how many did each rule drop, at which values?
SELECT annotation_type, CASE WHEN kept THEN 'kept' ELSE rule END AS outcome, count(*) AS number,
       min("value") AS least_value, max("value") AS greatest_value
FROM verdicts
GROUP BY annotation_type, outcome
ORDER BY annotation_type, number DESC, outcome
