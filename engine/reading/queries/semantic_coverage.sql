-- How many objects, attributes and actions do kept texts have, compared with FLD-5B (Florence-2, table 3)?
-- Means over the kept texts of a granularity that have a parse; `image annotations` counts these texts. The paper does
-- not print the rules of its classes, so each is computed in two ways (docs/statistics.md).
-- strict: objects = nouns and proper nouns; attributes = adjectives, numbers, participles beside their noun;
-- complexity = the mean degree of such a word in its dependency tree.
-- paper_like: objects also pronouns; attributes = adjectives, determiners, numbers; complexity = the largest degree in
-- each sentence, 0 without such a word, averaged over the sentences. Tokens, actions and proper nouns: one way only.
WITH published(granularity, measure, fld5b) AS (
    SELECT unnest(['brief', 'detailed', 'more_detailed']), measure, unnest(told)
    FROM (VALUES
        ('image annotations', [235000000, 126000000, 126000000]),
        ('tokens', [7.95, 31.65, 70.53]),
        ('objects', [3.23, 13.31, 28.06]),
        ('attributes', [2.80, 7.27, 16.25]),
        ('actions', [0.58, 4.21, 8.76]),
        ('proper nouns', [1.10, 2.40, 2.41]),
        ('object complexity', [2.80, 4.00, 4.02]),
        ('action complexity', [1.14, 3.63, 4.38])
    ) t(measure, told)
),
said AS (
    SELECT t.granularity, count(*) AS number, avg(p.tokens) AS tokens,
           avg(len(p.objects)) AS objects, avg(len(p.objects_paper)) AS objects_paper,
           avg(len(p.attributes)) AS attributes, avg(len(p.attributes_paper)) AS attributes_paper,
           avg(len(p.actions)) AS actions, avg(len(p.proper_nouns)) AS proper_nouns,
           avg(p.object_complexity.mean) AS object_mean, avg(p.object_complexity.paper) AS object_peak,
           avg(p.action_complexity.mean) AS action_mean, avg(p.action_complexity.paper) AS action_peak
    FROM kept.texts t JOIN parse p ON p.text_key = t.text_key AND len(p.failures) = 0
    GROUP BY t.granularity
),
ours AS (
    SELECT granularity, unnest(['image annotations', 'tokens', 'objects', 'attributes', 'actions', 'proper nouns',
                                'object complexity', 'action complexity']) AS measure,
           unnest([number, tokens, objects, attributes, actions, proper_nouns, object_mean, action_mean]) AS strict,
           unnest([number, tokens, objects_paper, attributes_paper, actions, proper_nouns, object_peak,
                   action_peak]) AS paper_like
    FROM said
)
SELECT granularity, measure, round(strict, 2) AS strict, round(paper_like, 2) AS paper_like, fld5b::DOUBLE AS fld5b
FROM published FULL JOIN ours USING (granularity, measure)
ORDER BY array_position(['brief', 'detailed', 'more_detailed'], granularity), granularity,
         array_position(['image annotations', 'tokens', 'objects', 'attributes', 'actions', 'proper nouns',
                         'object complexity', 'action complexity'], measure)
