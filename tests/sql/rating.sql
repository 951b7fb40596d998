-- From events to charges, by the rules K7 (steps 1 to 4), K8, K9 and K11. An amount is a HUGEINT of 10^-18; nothing is
-- divided but where a rule says so, and then by whole numbers.

CREATE MACRO exact(amount) AS
    CASE WHEN amount LIKE '-%' THEN -1 ELSE 1 END
    * (ltrim(split_part(amount, '.', 1), '-') || rpad(split_part(amount, '.', 2), 18, '0'))::HUGEINT;
CREATE MACRO millionths(amount) AS exact(amount) // 1000000000000;
-- K11: days of a whole, at 12 decimals, half away from zero; the whole is the amount itself.
CREATE MACRO prorated(amount, days, whole) AS
    CASE
        WHEN days = whole THEN amount
        ELSE sign(amount) * ((2 * abs(amount) * days + whole * 1000000::HUGEINT) // (whole * 2000000::HUGEINT)) * 1000000
    END;
-- The same of a sum of amounts x days; a division that comes out even is not rounded.
CREATE MACRO averaged(amount_days, whole) AS
    CASE WHEN amount_days % whole = 0 THEN amount_days // whole ELSE prorated(amount_days, 1, whole) END;
CREATE MACRO units_averaged(unit_days, whole) AS (unit_days + whole - 1) // whole;

-- Periods and stretches ---------------------------------------------------------------------------------------------

CREATE MACRO changes_on(month, anchor) AS month + (least(anchor, day(last_day(month))) - 1)::INTEGER;
CREATE TABLE period AS
WITH months AS (
    SELECT DISTINCT anchor_day, month - (anchor_day > 1)::INTEGER * INTERVAL 1 MONTH AS first FROM run, contracts
)
SELECT changes_on(first::DATE, anchor_day) AS start,
       changes_on((first + INTERVAL 1 MONTH)::DATE, anchor_day) AS stop,
       changes_on((first + INTERVAL 2 MONTH)::DATE, anchor_day) AS next_stop,
       stop - start AS days,
       next_stop - stop AS next_days
FROM months;

CREATE TABLE stretches AS
WITH dated AS (
    SELECT contract, plan, effective_from,
           lead(effective_from, 1, DATE '9999-12-31') OVER (ORDER BY contract) AS until
    FROM contracts
)
SELECT contract, plan, greatest(effective_from, period.start) AS start, least(until, period.stop) AS stop,
       least(until, period.stop) - greatest(effective_from, period.start) AS days
FROM dated, period
WHERE effective_from < period.stop AND until > period.start;
-- The whole next period under the contract that is in force when this one ends.
CREATE TABLE following AS
SELECT contract, plan, period.stop AS start, next_stop AS stop, next_days AS days
FROM contracts, period WHERE effective_from <= period.stop ORDER BY contract DESC LIMIT 1;

CREATE TABLE stretch_charges AS
SELECT stretches.contract, stretches.start, stretches.days, plan_charges.*, pools.pool,
       coalesce('pool:' || pools.pool, plan_charges.charge) AS position_of, pools.quantity AS pool_units, pools.amount AS pool_money,
       -- K8: a charge that stands by position in one part of the period has it in all of it
       bool_or(kind IN ('package', 'graduated', 'volume') OR included > 0 OR pools.pool IS NOT NULL)
           OVER (PARTITION BY position_of) AS by_position
FROM stretches JOIN plan_charges USING (plan)
LEFT JOIN pools ON pools.plan = plan_charges.plan AND list_contains(pools.charges, plan_charges.charge);

CREATE TABLE included AS
WITH shares AS (
    SELECT DISTINCT contract, stretch_charges.days, position_of, coalesce(pool_units, included) AS units, pool_money AS money
    FROM stretch_charges
)
SELECT position_of, units_averaged(sum(units * shares.days), any_value(period.days)) AS units,
       averaged(sum(exact(money) * shares.days), any_value(period.days)) AS money
FROM shares, period GROUP BY position_of;

-- Events ------------------------------------------------------------------------------------------------------------

-- K9: in UTC, and cut off after six decimals.
CREATE MACRO moment(sent_as) AS
    substr(sent_as, 1, 19)::TIMESTAMP
    + to_microseconds(rpad(left(regexp_extract(sent_as, '\.([0-9]+)', 1), 6), 6, '0')::BIGINT)
    - to_minutes(
        CASE WHEN sent_as LIKE '%Z' THEN 0
             ELSE (substr(sent_as, -6, 1) || '1')::INTEGER
                  * (substr(sent_as, -5, 2)::INTEGER * 60 + substr(sent_as, -2, 2)::INTEGER) END
    );
CREATE TABLE ordered AS
SELECT row_number() OVER (ORDER BY moment, source, id) AS n, moment::DATE AS day, *
FROM (SELECT *, moment(time) AS moment FROM sent);
CREATE TABLE quantities AS
SELECT n, entry.key AS class, entry.value AS quantity
FROM (SELECT n, unnest(map_entries(quantities)) AS entry FROM ordered)
WHERE quantity > 0;

CREATE TABLE events AS
WITH prompts AS (
    SELECT n, sum(quantity) AS prompt FROM quantities JOIN classes USING (class) WHERE of_prompt GROUP BY n
), sized AS (
    SELECT ordered.*, coalesce(prompt, 0) AS prompt FROM ordered LEFT JOIN prompts USING (n)
), sizes AS (
    SELECT DISTINCT prompt_above FROM rates
)
SELECT n, strftime(moment, '%Y-%m-%dT%H:%M:%S.%fZ') AS time, source, id, day, provider, model,
       coalesce(service_tier, 'standard') AS service_tier, attributes, coalesce(sizes.prompt_above, 0) AS size,
       stretches.contract
FROM sized
ASOF LEFT JOIN sizes ON sized.prompt > sizes.prompt_above
LEFT JOIN stretches ON day >= stretches.start AND day < stretches.stop;

-- Prices ------------------------------------------------------------------------------------------------------------

-- Every question that is asked of the price tables: by usage, and by fees.
CREATE TABLE asked AS
WITH asking AS (
    SELECT DISTINCT contract, provider, model, class, service_tier, size, day
    FROM quantities JOIN events USING (n) WHERE contract IS NOT NULL
), usage AS (
    SELECT asking.*, stretch_charges.* EXCLUDE (contract, days, start, service_tiers, providers), weight,
           CASE WHEN prices = 'charge' THEN ['', '', charge] ELSE [provider, model, asking.class] END AS key
    FROM asking
    JOIN stretches USING (contract)
    JOIN meters ON meters.plan = stretches.plan
         AND meters.class IN (asking.class, if(asking.class LIKE 'tool\_call:%' ESCAPE '\', 'tool_call:*', ''))
    JOIN stretch_charges ON stretch_charges.contract = asking.contract AND stretch_charges.meter = meters.meter
         AND (service_tiers IS NULL OR list_contains(service_tiers, service_tier))
         AND (providers IS NULL OR list_contains(providers, provider))
    WHERE NOT EXISTS (
        SELECT 1 FROM refused WHERE refused.plan = stretches.plan AND refused.class = asking.class
    )
), fees AS (
    SELECT contract, charge, start AS day, stretch.stop, stretch.days, timing, ahead
    FROM (SELECT *, false AS ahead FROM stretches UNION ALL SELECT *, true AS ahead FROM following) AS stretch
    JOIN plan_charges USING (plan) WHERE kind = 'flat' AND (timing = 'advance' OR NOT ahead)
)
SELECT row_number() OVER () AS ask, * FROM (
    SELECT *, NULL::DATE AS stop, NULL::BIGINT AS fee_days, NULL::BOOLEAN AS ahead FROM usage
    UNION ALL BY NAME
    SELECT contract, charge, day, stop, days AS fee_days, timing, ahead, 'flat' AS kind, 'charge' AS prices,
           'standard' AS service_tier, 0 AS size, ['', '', charge] AS key
    FROM fees
);

-- A version that supersedes another stands in its place, for what it lists.
CREATE TABLE in_place AS
SELECT * FROM rates WHERE NOT EXISTS (
    SELECT 1 FROM rates AS correction
    WHERE correction.card = rates.card AND correction.supersedes = rates.version
      AND (correction.provider, correction.model, correction.named, correction.service_tier, correction.prompt_above)
        = (rates.provider, rates.model, rates.named, rates.service_tier, rates.prompt_above)
);
CREATE TABLE offers AS
SELECT ask, asked.day, in_place.*, in_place.card = coalesce(override_card, '') AS own,
       lock_from IS NOT NULL AND asked.day >= lock_from AND asked.day < lock_until
           AND in_place.card = rate_card AND prices <> 'cost' AS locked, lock_from
FROM asked JOIN contracts USING (contract)
JOIN in_place ON [in_place.provider, in_place.model, in_place.named] = asked.key
     AND in_place.service_tier = asked.service_tier AND in_place.prompt_above <= asked.size
     AND in_place.effective_from <= asked.day
     AND (in_place.card = cost_card AND prices = 'cost' OR in_place.card IN (rate_card, override_card) AND prices <> 'cost');
-- A lock keeps what was asked for at the price of its first day, or the first price after that.
CREATE TABLE chosen AS
WITH frozen AS (
    SELECT ask, greatest(min(effective_from), any_value(lock_from)) AS day FROM offers WHERE locked GROUP BY ask
)
SELECT offers.* FROM offers LEFT JOIN frozen USING (ask)
WHERE NOT locked OR offers.effective_from <= frozen.day
QUALIFY row_number() OVER (PARTITION BY ask ORDER BY prompt_above DESC, own DESC, offers.effective_from DESC) = 1;

-- The provider's cost, times markup, times the exchange rate of the day that the period or the stub begins.
CREATE TABLE factors AS
WITH quoted AS (
    SELECT contract, bought, exchange_rates.price
    FROM contracts, period, exchange_rates
    WHERE exchange_rates.card = fx_card
      AND exchange_rates.effective_from <= greatest(period.start, (SELECT min(effective_from) FROM contracts))
    QUALIFY row_number() OVER (PARTITION BY contract, bought ORDER BY exchange_rates.effective_from DESC) = 1
)
SELECT ask, millionths(markup) AS markup,
       CASE WHEN chosen.currency = contracts.currency THEN 1000000::HUGEINT ELSE millionths(quoted.price) END AS fx
FROM asked JOIN chosen USING (ask) JOIN contracts USING (contract)
LEFT JOIN quoted ON quoted.contract = asked.contract AND quoted.bought = chosen.currency
WHERE kind = 'pass_through';

CREATE TABLE price_tiers AS
SELECT ask, tiers.tier, coalesce(lag(up_to) OVER (PARTITION BY ask ORDER BY tiers.tier), 0) AS above, up_to,
       exact(tiers.price) AS listed, per,
       CASE WHEN factors.ask IS NULL THEN listed
            ELSE listed * factors.markup // 1000000 * factors.fx // 1000000 END AS block_price,
       block_price // per AS unit_price,
       -- K2: 18 decimals hold every product, also that of cost and exchange rate alone
       block_price % per = 0 AND (factors.ask IS NULL OR (
           listed * factors.markup % 1000000 = 0
           AND (listed * factors.markup // 1000000) * factors.fx % 1000000 = 0
           AND (listed // per) * factors.fx % 1000000 = 0
       )) AS holds,
       count(*) OVER (PARTITION BY ask) AS tiers
FROM chosen JOIN tiers USING (rate) LEFT JOIN factors USING (ask);

CREATE TABLE priced AS
WITH discounted AS (  -- K2 again: every percentage of every unit price
    SELECT DISTINCT ask FROM price_tiers JOIN asked USING (ask) JOIN discounts USING (contract)
    WHERE percent IS NOT NULL AND (only_charges IS NULL OR list_contains(only_charges, charge))
      AND unit_price * (exact(percent) // 100000000000000) % 10000 <> 0
)
SELECT asked.*, card, version, effective_from, prompt_above, price_tiers.per, unit_price, block_price,
       included.units AS included_units, included.money AS included_money,
       card IS NULL OR coalesce(NOT holds, true) OR discounted.ask IS NOT NULL
           OR (tiers > 1 AND (kind IN ('per_unit', 'package', 'pass_through') OR pool IS NOT NULL)) AS wanting
FROM asked
LEFT JOIN chosen USING (ask)
LEFT JOIN price_tiers ON price_tiers.ask = asked.ask AND price_tiers.tier = 1
LEFT JOIN discounted ON discounted.ask = asked.ask
LEFT JOIN included USING (position_of);

-- Charges -----------------------------------------------------------------------------------------------------------

CREATE TABLE counted AS
SELECT n, quantities.class, quantity, priced.ask, coalesce(wanting, true) AS wanting
FROM quantities JOIN events USING (n)
LEFT JOIN priced ON priced.contract = events.contract AND priced.class = quantities.class
     AND priced.provider = events.provider AND priced.model = events.model
     AND priced.service_tier = events.service_tier AND priced.size = events.size AND priced.day = events.day;

-- Step 1 of K7: an event is excluded whole, or it is rated.
CREATE TABLE fates AS
SELECT n, time, source, id,
       CASE WHEN contract IS NULL THEN 'before_activation'
            WHEN n IN (SELECT n FROM counted WHERE wanting) THEN 'parked' ELSE 'rated' END AS fate
FROM events;

-- K8: where each quantity begins, in the order of events and of class names, and what the period comes to.
CREATE TABLE placed AS
WITH moves AS (
    SELECT n, class, ask, position_of, by_position, quantity::HUGEINT * weight AS units,
           units * CASE WHEN included_money IS NULL THEN 1 ELSE unit_price END AS moved
    FROM counted JOIN priced USING (ask, class) JOIN fates USING (n) WHERE fate = 'rated'
)
SELECT n, class, ask, units,
       sum(moved) OVER (PARTITION BY position_of ORDER BY n, class ROWS UNBOUNDED PRECEDING) - moved AS start,
       sum(moved) OVER (PARTITION BY position_of) AS total
FROM moves;

CREATE TABLE split AS
SELECT placed.*, kind, by_position, priced.per, unit_price, block_price,
       CASE
           WHEN NOT by_position THEN 0
           WHEN included_money IS NULL THEN least(units, greatest(0, included_units - start))
           WHEN start >= included_money THEN 0
           WHEN unit_price = 0 THEN units  -- while any money is left, a unit is included
           ELSE least(units, (included_money - start + unit_price - 1) // unit_price)
       END AS covered,
       units - covered AS rest,
       start + covered * CASE WHEN included_money IS NULL THEN 1 ELSE unit_price END AS rest_start,
       greatest(0, start - included_units) AS tier_start,
       greatest(0, total - included_units) AS tier_total
FROM placed JOIN priced USING (ask);

CREATE TABLE parts AS
SELECT n, class, ask, 'included' AS tier, covered AS units, 0::HUGEINT AS amount, start AS position,
       NULL::HUGEINT AS blocks
FROM split WHERE covered > 0
UNION ALL
SELECT n, class, ask, if(by_position, '1', NULL), rest, rest * unit_price, if(by_position, rest_start, NULL), NULL
FROM split WHERE rest > 0 AND kind IN ('per_unit', 'pass_through')
UNION ALL
SELECT n, class, ask, '1', rest, begun * block_price, rest_start, begun
FROM (
    SELECT *, (tier_start + rest + per - 1) // per - (tier_start + per - 1) // per AS begun
    FROM split WHERE rest > 0 AND kind = 'package'
)
UNION ALL
SELECT n, class, ask, tier::VARCHAR, stop - begin, (stop - begin) * tier_price, rest_start + begin - tier_start, NULL
FROM (
    SELECT split.*, price_tiers.tier, price_tiers.unit_price AS tier_price, greatest(tier_start, above) AS begin,
           least(tier_start + rest, coalesce(up_to, tier_start + rest)) AS stop
    FROM split JOIN price_tiers USING (ask)
    WHERE rest > 0 AND kind = 'graduated' AND tier_start + rest > above AND (up_to IS NULL OR tier_start < up_to)
)
UNION ALL
SELECT n, class, ask, price_tiers.tier::VARCHAR, rest, rest * price_tiers.unit_price, rest_start, NULL
FROM split JOIN price_tiers USING (ask)
WHERE rest > 0 AND kind = 'volume' AND tier_total > above AND (up_to IS NULL OR tier_total <= up_to);

CREATE TABLE charges AS
SELECT n, events.time, events.source, events.id,
       row_number() OVER (PARTITION BY n ORDER BY parts.class, position) AS ordinal,
       concat_ws('|', charge, priced.provider || '/' || priced.model, parts.class, card || '@' || version,
           nullif(priced.service_tier, 'standard'), 'prompt>' || nullif(prompt_above, 0)::VARCHAR,
           CASE WHEN (SELECT count(*) FROM stretches) > 1 THEN 'contract@' || priced.contract END, tier,
           split_by || '=' || attribute) AS line,
       units, amount, position, blocks, tier, attribute, split_by, priced.ask
FROM parts JOIN priced USING (ask) JOIN contracts USING (contract) JOIN events USING (n),
     LATERAL (SELECT attributes[split_by] AS attribute);
