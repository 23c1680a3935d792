-- How close to its threshold does each rule decide?
-- Values on both sides of the threshold, in 10 bins a side.
-- Reads `rule_values`, which `engine report` makes from a sample of shards: `taken` was dropped by the rule, `kept` passed
-- all rules. Ten bins reach as far as three quarters of the values are from the threshold; bin 0 begins at the threshold.
-- The first and the last bin hold all values beyond. A rule with several thresholds (by producer or by granularity) has
-- a histogram for each. Shows the 16 histograms with most rows taken; `histograms` counts all.
WITH sides AS (
    SELECT annotation_type, place, rule, threshold, CASE WHEN kept THEN 'kept' ELSE 'taken' END AS outcome,
           "value" - threshold AS distance, kept
    FROM rule_values
),
scales AS (
    SELECT annotation_type, place, rule, threshold, count(*) FILTER (NOT kept) AS taken,
           coalesce(nullif(quantile_disc(abs(distance), 0.75), 0), nullif(max(abs(distance)), 0), 1) / 10 AS width,
           count(*) OVER () AS histograms
    FROM sides GROUP BY annotation_type, place, rule, threshold
    QUALIFY row_number() OVER (ORDER BY taken DESC, count(*) DESC, annotation_type, place, rule, threshold) <= 16
),
bins AS (
    SELECT c.*, s.outcome, greatest(-10, least(9, floor(s.distance / c.width)))::INTEGER AS bin, count(*) AS number
    FROM sides s JOIN scales c USING (annotation_type, place, rule, threshold)
    GROUP BY ALL
)
SELECT annotation_type, rule, threshold, bin, CASE WHEN bin > -10 THEN threshold + bin * width END AS value_from,
       CASE WHEN bin < 9 THEN threshold + (bin + 1) * width END AS value_to, outcome, number, histograms
FROM bins
ORDER BY array_position(['images', 'texts', 'regions', 'region_texts', 'phrases', 'tags', 'image_scores'],
                        annotation_type), place, rule, threshold, bin, outcome DESC
