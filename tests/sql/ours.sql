-- What our code wrote, as tables like those of the second calculation: the evidence of charges and exclusions as it
-- stands in a bundle, and the lines of the invoice.

CREATE TABLE our_charges AS
WITH events AS (
    SELECT json->>0 AS time, json->>1 AS source, json->>2 AS id, (json->4)::JSON[] AS parts FROM rated
), parts AS (
    SELECT time, source, id, unnest(parts) AS part, generate_subscripts(parts, 1) AS ordinal FROM events
)
SELECT time, source, id, ordinal, part->>0 AS line, (part->>1)::HUGEINT AS units, exact(part->>2) AS amount,
       CASE WHEN json_type(part->3) = 'VARCHAR' THEN exact(part->>3) ELSE (part->>3)::HUGEINT END AS position
FROM parts;

CREATE TABLE our_fates AS
SELECT json->>0 AS time, json->>1 AS source, json->>2 AS id, 'rated' AS fate FROM rated
UNION ALL SELECT json->>0, json->>1, json->>2, json->>4 FROM excluded;

CREATE TABLE our_shown AS
SELECT (json->>'line')::BIGINT AS line, json->>'key' AS key, json->>'source' AS source, json->>'charge' AS charge,
       (json->>'contract_version')::INTEGER AS contract, (json->>'quantity')::HUGEINT AS quantity,
       (json->>'events')::BIGINT AS events, (json->>'blocks')::HUGEINT AS blocks, exact(json->>'exact') AS amount,
       exact(json->>'amount') AS shown
FROM lines_written;
CREATE TABLE our_invoice (net_exact HUGEINT, net HUGEINT, tax HUGEINT);
