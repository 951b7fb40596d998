-- From charges to an invoice: steps 5 to 8 of K7, then K3 and K4. Legal lines are in the order of the plans' charges;
-- usage, then fees, then what brings a charge to its minimum or maximum; then discounts and the true-up.

CREATE TABLE places AS
SELECT charge, row_number() OVER (ORDER BY min((number, place))) AS charge_place
FROM (SELECT *, contract AS number FROM stretches UNION ALL SELECT *, 1000000 AS number FROM following)
JOIN plan_charges USING (plan) GROUP BY charge;

CREATE TABLE usage_lines AS
SELECT line AS key, 'usage' AS source, charge, any_value(contract) AS contract, sum(units) AS quantity,
       count(*) AS events, sum(blocks) AS blocks, sum(charges.amount) AS amount,
       row_number() OVER (PARTITION BY charge ORDER BY any_value((
           priced.provider, priced.model, coalesce(classes.place, 13), priced.class, effective_from, contract,
           priced.service_tier, prompt_above, coalesce(try_cast(tier AS INTEGER), 0),
           coalesce(split_by || '=' || attribute, ''), line
       ))) AS place
FROM charges JOIN priced USING (ask) LEFT JOIN classes ON classes.class = priced.class
GROUP BY line, charge;

-- Base fees: of the stretches in arrears or not yet billed, of the next period in advance, and unused days going back.
CREATE TABLE fees AS
SELECT contract, charge, timing, ahead, day AS start, priced.fee_days AS days,
       if(ahead, period.next_days, period.days) AS whole, card || '@' || version AS rate_version, block_price AS price,
       prorated(block_price, fee_days, whole) AS amount
FROM priced, period WHERE kind = 'flat';
CREATE TABLE unused_fees AS
WITH unused AS (
    SELECT billed_fees.*, stretches.start, stretches.days, period.days AS whole,
           sum(stretches.days) OVER (PARTITION BY charge) AS all_days,
           stretches.start = max(stretches.start) OVER (PARTITION BY charge) AS is_last
    FROM billed_fees, stretches, period
    WHERE NOT EXISTS (
        SELECT 1 FROM fees WHERE fees.charge = billed_fees.charge AND fees.start = stretches.start
            AND NOT ahead AND timing = 'advance' AND fees.price = exact(billed_fees.price)
    )
), shares AS (
    SELECT *, prorated(exact(price), days, whole) AS share FROM unused
)
SELECT contract, charge, rate_version, start,
       -- what goes back altogether is what was billed
       -CASE WHEN all_days = whole AND is_last
             THEN exact(exact) - coalesce(sum(share) OVER (
                 PARTITION BY charge ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
             ELSE share END AS amount
FROM shares;
CREATE TABLE fee_lines AS
SELECT concat_ws('|', charge, rate_version, strftime(start, '%Y-%m-%d'), if(unused, 'unused', NULL)) AS key,
       'fee' AS source, charge, contract, ahead, amount, row_number() OVER (ORDER BY start, unused) AS place
FROM (
    SELECT contract, charge, rate_version, start, ahead, amount, false AS unused FROM fees
    WHERE ahead OR timing = 'arrears' OR NOT EXISTS (
        SELECT 1 FROM billed_fees WHERE billed_fees.charge = fees.charge AND exact(billed_fees.price) = fees.price
    )
    UNION ALL
    SELECT contract, charge, rate_version, start, false, amount, true FROM unused_fees
);

-- Step 5. A bound counts for the days and for the usage of the stretches in which it is agreed.
CREATE TABLE limit_lines AS
WITH bounds AS (
    SELECT charge, 'minimum' AS source, contract, days, exact(minimum) AS bound, 1 AS direction
    FROM stretch_charges WHERE minimum IS NOT NULL
    UNION ALL
    SELECT charge, 'maximum', contract, days, exact(maximum), -1 FROM stretch_charges WHERE maximum IS NOT NULL
), totals AS (
    SELECT charge, source, direction, averaged(sum(bound * bounds.days), any_value(period.days)) AS bound,
           list(contract) AS contracts, max(contract) AS contract
    FROM bounds, period GROUP BY charge, source, direction
)
SELECT charge || '|' || source AS key, source, charge, contract,
       bound - coalesce((
           SELECT sum(amount) FROM usage_lines
           WHERE usage_lines.charge = totals.charge AND list_contains(contracts, usage_lines.contract)
       ), 0) AS amount
FROM totals WHERE amount * direction > 0;

CREATE TABLE agreed_discounts AS
SELECT discounts.*, stretches.days, row_number() OVER (ORDER BY contract, place) AS discount_place
FROM discounts JOIN stretches USING (contract);

-- Step 6. Every percentage counts from usage after step 5, over all contract versions that state the same one; never
-- more of a charge than the whole of it.
CREATE TABLE percent_lines AS
WITH discountable AS (
    SELECT contract, charge, sum(amount) AS amount
    FROM (SELECT contract, charge, amount FROM usage_lines
          UNION ALL SELECT contract, charge, amount FROM limit_lines)
    GROUP BY contract, charge
), stated AS (
    SELECT discount, percent, only_charges, list(contract) AS contracts, max(contract) AS contract,
           min(discount_place) AS discount_place
    FROM agreed_discounts WHERE percent IS NOT NULL GROUP BY discount, percent, only_charges
), wanted AS (
    SELECT discount, discount_place, stated.contract, charge,
           greatest(sum(discountable.amount), 0) * (exact(any_value(percent)) // 100000000000000) AS wanted
    FROM stated JOIN discountable ON list_contains(contracts, discountable.contract)
    WHERE only_charges IS NULL OR list_contains(only_charges, charge)
    GROUP BY discount, discount_place, stated.contract, charge
), running AS (
    SELECT wanted.*, whole, sum(wanted) OVER (PARTITION BY charge ORDER BY discount_place) AS up_to
    FROM wanted JOIN (
        SELECT charge, greatest(sum(amount), 0) * 10000 AS whole FROM discountable GROUP BY charge
    ) USING (charge)
)
SELECT discount || '|discount|contract@' || contract AS key, 'discount' AS source, discount AS charge, contract,
       -sum(least(up_to, whole) - least(up_to - wanted, whole)) AS exact_22, discount_place AS place
FROM running GROUP BY discount, discount_place, contract HAVING exact_22 < 0;

-- Step 7. Fixed discounts, for the days they are agreed, while there is something to pay.
CREATE TABLE fixed_lines AS
WITH payable AS (
    SELECT coalesce(sum(amount), 0) AS amount FROM (
        SELECT amount FROM usage_lines UNION ALL SELECT amount FROM fee_lines UNION ALL SELECT amount FROM limit_lines
        UNION ALL SELECT exact_22 // 10000 FROM percent_lines
    )
), shares AS (
    SELECT discount, contract, discount_place, prorated(exact(amount), agreed_discounts.days, period.days) AS share,
           sum(share) OVER (ORDER BY discount_place) AS up_to
    FROM agreed_discounts, period WHERE amount IS NOT NULL
)
SELECT discount || '|discount|contract@' || contract AS key, 'discount' AS source, discount AS charge, contract,
       least(up_to - share, greatest(amount, 0)) - least(up_to, greatest(amount, 0)) AS amount, discount_place AS place
FROM shares, payable WHERE least(up_to - share, greatest(amount, 0)) < least(up_to, greatest(amount, 0));

CREATE TABLE before_true_up AS
SELECT 1 AS step, charge_place, 1 AS what, place, key, source, charge, contract, quantity, events, blocks, amount
FROM usage_lines JOIN places USING (charge)
UNION ALL BY NAME
SELECT 1 AS step, charge_place, 2 AS what, place, key, source, charge, contract, ahead, amount
FROM fee_lines JOIN places USING (charge)
UNION ALL BY NAME
SELECT 1 AS step, charge_place, 3 AS what, if(source = 'minimum', 1, 2) AS place, key, source, charge, contract, amount
FROM limit_lines JOIN places USING (charge)
UNION ALL BY NAME
SELECT 2 AS step, place, key, source, charge, contract, exact_22 // 10000 AS amount FROM percent_lines
UNION ALL BY NAME
SELECT 3 AS step, place, key, source, charge, contract, amount FROM fixed_lines;

-- Step 8. By period: for the days on which it is agreed, and what is charged by the contract versions that agree it.
-- A fee for the next period counts under the last version of this one, also where the next period's version charges it.
-- By term: once, by the invoice of the period that ends the term, which began with the first version that states it.
CREATE TABLE true_up_line AS
WITH agreed AS (
    SELECT contracts.*, stretches.start, stretches.days FROM contracts JOIN stretches USING (contract)
), last AS (
    SELECT * FROM agreed ORDER BY contract DESC LIMIT 1
), by_period AS (
    SELECT * FROM agreed
    WHERE committed IS NOT NULL AND committed_months IS NULL AND (SELECT committed_months FROM last) IS NULL
), term AS (
    SELECT any_value(last.committed) AS committed, any_value(last.anchor_day) AS anchor_day,
           date_trunc('month', coalesce(any_value(term_from), min(agreed.start))) AS month,
           any_value(last.committed_months) AS months, coalesce(exact(any_value(counted_before.exact)), 0) AS before
    FROM last JOIN agreed USING (committed, committed_months) LEFT JOIN counted_before ON true
    HAVING count(*) > 0
), due AS (
    SELECT averaged(sum(exact(committed) * by_period.days), any_value(period.days)) AS due,
           (SELECT sum(amount) FROM before_true_up
            WHERE if(coalesce(ahead, false), (SELECT contract FROM last), before_true_up.contract)
                  IN (SELECT contract FROM by_period)) AS counted
    FROM by_period, period HAVING count(*) > 0
    UNION ALL
    SELECT exact(committed), before + (SELECT coalesce(sum(amount), 0) FROM before_true_up) FROM term, period
    WHERE changes_on((month + months * INTERVAL 1 MONTH)::DATE, anchor_day) <= period.stop
)
SELECT 'commitment|contract@' || contract AS key, 'commitment' AS source, 'commitment' AS charge, contract,
       due - coalesce(counted, 0) AS amount
FROM due, last WHERE due - coalesce(counted, 0) > 0;

CREATE TABLE lines AS
SELECT row_number() OVER (ORDER BY step, charge_place, what, place)::BIGINT AS line,
       key, source, charge, contract, coalesce(quantity, if(source = 'fee', 1, NULL)) AS quantity,
       coalesce(events, 0) AS events, blocks, amount
FROM (
    SELECT * FROM before_true_up
    UNION ALL BY NAME
    SELECT 4 AS step, key, source, charge, contract, amount FROM true_up_line
);

-- K3: the net is rounded once; lines are cut down, and those that lost most get the missing minor units.
CREATE MACRO cut_down(amount, unit) AS amount - ((amount % unit) + unit) % unit;
CREATE MACRO half_away(amount, unit) AS sign(amount) * ((2 * abs(amount) + unit) // (2 * unit)) * unit;
CREATE TABLE invoice AS
WITH terms AS (
    SELECT minor_unit, exact(tax_rate) // 100000000000000 AS tax
    FROM contracts JOIN currencies USING (currency)
    WHERE contract = coalesce((SELECT max(contract) FROM stretches), (SELECT contract FROM following))
), nets AS (
    SELECT half_away(coalesce(sum(amount), 0), minor_unit) AS net, coalesce(sum(amount), 0) AS net_exact, minor_unit, tax
    FROM terms LEFT JOIN lines ON true GROUP BY minor_unit, tax
)
SELECT net_exact, net, half_away(net * tax, minor_unit * 10000) // 10000 AS tax, minor_unit FROM nets;
CREATE TABLE shown AS
WITH cut AS (
    SELECT lines.*, minor_unit, net, cut_down(amount, minor_unit) AS floor FROM lines, invoice
), ranked AS (
    SELECT *, (net - sum(floor) OVER ()) // minor_unit AS missing,
           row_number() OVER (ORDER BY amount - floor DESC, abs(amount) DESC, line) AS rank
    FROM cut
)
SELECT line, key, source, charge, contract, quantity, events, blocks, amount,
       floor + if(rank <= missing, minor_unit, 0) AS shown
FROM ranked;
