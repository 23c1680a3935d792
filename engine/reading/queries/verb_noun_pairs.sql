-- Which nouns are most often the subject or the object of which verbs in kept texts?
-- Words are lemmas: "two men riding" is ride, subject, man. Shows the 30 commonest pairs of each role. pairs: how many
-- distinct pairs the role has. share: of all occurrences of the role. Texts that an engine before schema version 3
-- parsed have no relations and are left out: parsed_texts counts them.
WITH texts AS (SELECT text_key, count(*) AS number FROM kept.texts GROUP BY text_key),
counted AS (
    SELECT r.role AS role, r.verb AS verb, r.noun AS noun, sum(number)::BIGINT AS times
    FROM (SELECT t.number, unnest(p.relations) AS r FROM texts t JOIN parse p ON p.text_key = t.text_key)
    GROUP BY ALL
)
SELECT role, verb, noun, times, round(times / sum(times) OVER (PARTITION BY role), 6) AS share,
       count(*) OVER (PARTITION BY role) AS pairs
FROM counted
QUALIFY row_number() OVER (PARTITION BY role ORDER BY times DESC, verb, noun) <= 30
ORDER BY role DESC, times DESC, verb, noun
