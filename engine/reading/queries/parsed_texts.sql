-- How many kept texts of each granularity are parsed, and how many of these parses have relations of verbs and nouns?
-- without_relations: parsed by an engine before schema version 3, which found none. With relations also counts texts
-- without a verb. failed: the parse failed, for example because the text is too long.
SELECT t.granularity, count(*) AS texts, count(*) FILTER (len(p.failures) = 0) AS parsed,
       count(*) FILTER (len(p.failures) > 0) AS failed, count(*) FILTER (p.text_key IS NULL) AS not_parsed,
       count(*) FILTER (len(p.failures) = 0 AND p.relations IS NOT NULL) AS with_relations,
       count(*) FILTER (len(p.failures) = 0 AND p.relations IS NULL) AS without_relations
FROM kept.texts t LEFT JOIN parse p ON p.text_key = t.text_key
GROUP BY t.granularity
ORDER BY array_position(['brief', 'detailed', 'more_detailed'], t.granularity), t.granularity
