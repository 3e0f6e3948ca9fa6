-- What drizzle's schema language cannot say: month partitions, append-only tables, the flush's own
-- assertion, the views that other services read, and the price list that every installation has.

-- Rows that every flush updates in place: room in their pages saves the index entries.
ALTER TABLE account_snapshots SET (fillfactor = 70);
--> statement-breakpoint
ALTER TABLE usage_hourly SET (fillfactor = 70);
--> statement-breakpoint

-- A month of change records. Called by the flusher before it writes a record of that month.
CREATE FUNCTION ensure_month(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first_day date := date_trunc('month', moment AT TIME ZONE 'UTC')::date;
BEGIN
  EXECUTE format(
    'CREATE TABLE IF NOT EXISTS %I PARTITION OF change_records FOR VALUES FROM (%L) TO (%L)',
    'change_records_' || to_char(first_day, 'YYYY_MM'),
    first_day::text || ' 00:00:00+00',
    (first_day + interval '1 month')::date::text || ' 00:00:00+00');
END $$;
--> statement-breakpoint

-- Raises inside the flush statement when a count is not what it must be, so that nothing of it commits.
CREATE FUNCTION flush_must(claim boolean, promise text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF claim IS NOT TRUE THEN
    RAISE EXCEPTION 'broken invariant: %', promise USING ERRCODE = 'FG001';
  END IF;
  RETURN true;
END $$;
--> statement-breakpoint

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'FG002';
END $$;
--> statement-breakpoint
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
CREATE TRIGGER audit_log_is_never_truncated BEFORE TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
CREATE TRIGGER change_records_are_immutable BEFORE UPDATE ON change_records
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
--> statement-breakpoint

INSERT INTO interfaces (id, name, method, path, price_fen) VALUES
  ('user.register', 'User registration', 'POST', '/api/user/register', 1),
  ('user.login', 'User login', 'POST', '/api/user/login', 1),
  ('user.password', 'Change password', 'POST', '/api/user/password', 1),
  ('user.qq', 'Change QQ', 'POST', '/api/user/qq', 1),
  ('user.avatar', 'Change avatar', 'POST', '/api/user/avatar', 1),
  ('user.sign_in', 'Daily sign-in', 'POST', '/api/user/sign-in', 1),
  ('user.feedback', 'Feedback', 'POST', '/api/user/feedback', 1),
  ('email.send', 'E-mail sending', 'POST', '/api/email/send', 1),
  ('balance.add', 'Add balance', 'POST', '/api/balance/add', 1),
  ('balance.deduct', 'Deduct balance', 'POST', '/api/balance/deduct', 1),
  ('account.get', 'Account query', 'GET', '/api/account', 1),
  ('vip.get', 'VIP query', 'GET', '/api/vip', 1),
  ('binding.add', 'Add binding', 'POST', '/api/bindings', 1),
  ('binding.list', 'List bindings', 'GET', '/api/bindings', 1),
  ('binding.initiate', 'Initiate binding', 'POST', '/api/bindings/initiate', 1),
  ('binding.users', 'Users bound', 'GET', '/api/bindings/users', 1);
--> statement-breakpoint

CREATE SCHEMA reporting;
--> statement-breakpoint
CREATE VIEW reporting.change_records AS
  SELECT account_id, seq, type, kind, amount_fen, balance_before_fen, balance_after_fen, description,
    at, interface, quantity, key_id,
    CASE WHEN kind IN ('charge', 'capture') THEN
      'chg_' || substr(account_id, 6) || '_' || to_char(at AT TIME ZONE 'UTC', 'YYYYMM') || '_' || seq
    END AS charge_id,
    source_id, request_id, partition, position
  FROM public.change_records;
--> statement-breakpoint
CREATE VIEW reporting.accounts AS
  SELECT a.id AS account_id, coalesce(s.status, 'open') AS status, coalesce(s.balance_fen, 0) AS balance_fen,
    0::bigint AS reward_fen, 0::bigint AS earnings_fen, coalesce(s.last_seq, 0) AS last_seq, a.created_at
  FROM public.accounts a LEFT JOIN public.account_snapshots s ON s.account_id = a.id;
--> statement-breakpoint
CREATE VIEW reporting.redemptions AS
  SELECT r.id AS redemption_id, r.account_id, c.code, r.amount_fen, r.at
  FROM public.redemptions r JOIN public.redemption_codes c ON c.id = r.code_id;
--> statement-breakpoint
CREATE VIEW reporting.usage_hourly AS
  SELECT account_id, key_id, interface, hour, calls, refused, failed, amount_fen FROM public.usage_hourly;
--> statement-breakpoint
-- A row per kind holds its counter-account; `balances` is what the platform owes its accounts.
-- The sum of all credits less the sum of all debits is zero at every moment.
CREATE VIEW reporting.trial_balance AS
  SELECT kind, sum(credit_fen)::bigint AS credit_fen, sum(debit_fen)::bigint AS debit_fen
    FROM public.counter_accounts GROUP BY kind
  UNION ALL
  SELECT 'balances', coalesce(sum(balance_fen), 0)::bigint, 0::bigint FROM public.account_snapshots;
--> statement-breakpoint
CREATE VIEW reporting.reconciliation AS
  SELECT partition, reconciled_position, reconciled_through, drift_fen, checked_at FROM public.reconciliation;
--> statement-breakpoint

-- The contract's remaining views, with their columns, so that readers can be built against all of it.
-- They are empty until the features that fill them exist.
CREATE VIEW reporting.recharge_orders AS
  SELECT NULL::text AS order_id, NULL::text AS account_id, NULL::text AS method, NULL::bigint AS amount_fen,
    NULL::bigint AS refunded_fen, NULL::text AS status, NULL::timestamptz AS created_at,
    NULL::timestamptz AS paid_at
  WHERE false;
--> statement-breakpoint
CREATE VIEW reporting.referrals AS
  SELECT NULL::text AS referrer_account_id, NULL::text AS invitee_account_id, NULL::text AS status,
    NULL::timestamptz AS at
  WHERE false;
--> statement-breakpoint
CREATE VIEW reporting.rebates AS
  SELECT NULL::text AS rebate_id, NULL::text AS referrer_account_id, NULL::text AS invitee_account_id,
    NULL::text AS order_id, NULL::text AS track, NULL::bigint AS base_fen, NULL::integer AS rate_bps,
    NULL::bigint AS amount_fen, NULL::text AS status, NULL::timestamptz AS at
  WHERE false;
--> statement-breakpoint
CREATE VIEW reporting.reward_transfers AS
  SELECT NULL::text AS transfer_id, NULL::text AS account_id, NULL::bigint AS amount_fen,
    NULL::timestamptz AS at
  WHERE false;
--> statement-breakpoint
CREATE VIEW reporting.payouts AS
  SELECT NULL::text AS payout_id, NULL::text AS account_id, NULL::bigint AS amount_fen,
    NULL::text AS currency, NULL::text AS status, NULL::timestamptz AS at
  WHERE false;
--> statement-breakpoint
CREATE VIEW reporting.erasures AS
  SELECT NULL::text AS account_id, NULL::timestamptz AS erased_at WHERE false;
--> statement-breakpoint

-- The reader's role. Where the migrating role may not create roles, an operator does it (db/README.md).
DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'fengate_reader') THEN
    CREATE ROLE fengate_reader NOLOGIN;
  END IF;
  GRANT USAGE ON SCHEMA reporting TO fengate_reader;
  GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO fengate_reader;
  ALTER DEFAULT PRIVILEGES IN SCHEMA reporting GRANT SELECT ON TABLES TO fengate_reader;
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE NOTICE 'fengate_reader was not created: this role may not create roles; see db/README.md';
  WHEN duplicate_object THEN
    RAISE NOTICE 'fengate_reader was being created by another installation';
END $$;
