-- What the second calculation starts from: the events as they were sent, and the documents as plain tables. Days are
-- dates, amounts are the decimal text of the documents, and nothing has been worked out yet.

CREATE TABLE sent (
    time VARCHAR, source VARCHAR, id VARCHAR, provider VARCHAR, model VARCHAR, service_tier VARCHAR,
    quantities MAP(VARCHAR, BIGINT), attributes MAP(VARCHAR, VARCHAR)
);
CREATE TABLE run (month DATE);

CREATE TABLE contracts (
    contract INTEGER, effective_from DATE, plan VARCHAR, currency VARCHAR, anchor_day INTEGER, tax_rate VARCHAR,
    rate_card VARCHAR, override_card VARCHAR, cost_card VARCHAR, fx_card VARCHAR, lock_from DATE, lock_until DATE,
    split_by VARCHAR, committed VARCHAR, committed_months INTEGER
);
CREATE TABLE discounts (
    contract INTEGER, place INTEGER, discount VARCHAR, percent VARCHAR, amount VARCHAR, only_charges VARCHAR[]
);

CREATE TABLE plan_charges (
    plan VARCHAR, place INTEGER, charge VARCHAR, meter VARCHAR, kind VARCHAR, prices VARCHAR, included BIGINT,
    minimum VARCHAR, maximum VARCHAR, timing VARCHAR, markup VARCHAR, service_tiers VARCHAR[], providers VARCHAR[]
);
CREATE TABLE meters (plan VARCHAR, meter VARCHAR, class VARCHAR, weight BIGINT);
CREATE TABLE pools (plan VARCHAR, pool VARCHAR, charges VARCHAR[], quantity BIGINT, amount VARCHAR);
CREATE TABLE refused (plan VARCHAR, class VARCHAR);

-- A price of a whole charge has neither provider nor model, and the charge's id in place of the class.
CREATE TABLE rates (
    rate INTEGER, card VARCHAR, version INTEGER, currency VARCHAR, effective_from DATE, supersedes INTEGER,
    provider VARCHAR, model VARCHAR, named VARCHAR, service_tier VARCHAR, prompt_above BIGINT, per BIGINT
);
CREATE TABLE tiers (rate INTEGER, tier INTEGER, up_to BIGINT, price VARCHAR);
CREATE TABLE exchange_rates (card VARCHAR, version INTEGER, effective_from DATE, bought VARCHAR, price VARCHAR);

-- What the invoice before says: fees billed in advance for this period, and what counts to a commitment by term.
CREATE TABLE billed_fees (charge VARCHAR, contract INTEGER, rate_version VARCHAR, price VARCHAR, exact VARCHAR);
CREATE TABLE counted_before (term_from DATE, exact VARCHAR);

-- Classes in the order of invoice lines. Calls of tools stand with `call`.
CREATE TABLE classes (class VARCHAR, place INTEGER, of_prompt BOOLEAN);
INSERT INTO classes VALUES
    ('input', 1, true), ('cached_input', 2, true), ('cache_write', 3, true), ('cache_write_5m', 4, true),
    ('cache_write_1h', 5, true), ('input_audio', 6, true), ('input_image', 7, true), ('output', 8, false),
    ('reasoning', 9, false), ('rejected_prediction', 10, false), ('output_audio', 11, false),
    ('output_image', 12, false), ('call', 13, false), ('compute_second', 14, false),
    ('cache_storage_token_hour', 15, false);
CREATE TABLE currencies (currency VARCHAR, minor_unit HUGEINT);
INSERT INTO currencies VALUES ('USD', 10000000000000000), ('EUR', 10000000000000000), ('JPY', 1000000000000000000);
