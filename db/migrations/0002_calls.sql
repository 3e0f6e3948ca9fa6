CREATE TABLE "reversals" (
	"charge_id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"amount_fen" bigint NOT NULL,
	"instruction" integer NOT NULL,
	"service_key_id" text NOT NULL,
	"idempotency_digest" text,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "service_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"key_hash" text NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "service_keys_key_hash_unique" UNIQUE("key_hash")
);
--> statement-breakpoint
CREATE TABLE "usage_unpaid" (
	"account_id" text NOT NULL,
	"key_id" text NOT NULL,
	"interface" text NOT NULL,
	"hour" timestamp (3) with time zone NOT NULL,
	"refused" bigint DEFAULT 0 NOT NULL,
	"failed" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "usage_unpaid_account_id_hour_key_id_interface_pk" PRIMARY KEY("account_id","hour","key_id","interface")
);
--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "previous_hash" text;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "previous_expires_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "daily_fen" bigint;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "monthly_fen" bigint;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "total_fen" bigint;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "rate_per_second" integer;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "expires_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "allowed_cidrs" text[];--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "interfaces" text[];--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "limits_version" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "interfaces" ADD COLUMN "upstream_url" text;--> statement-breakpoint
ALTER TABLE "interfaces" ADD COLUMN "timeout_ms" integer DEFAULT 30000 NOT NULL;--> statement-breakpoint
ALTER TABLE "interfaces" ADD COLUMN "body_bytes_max" bigint DEFAULT 1073741824 NOT NULL;--> statement-breakpoint
ALTER TABLE "ledger" ADD COLUMN "services_version" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
CREATE INDEX "change_records_reversals" ON "change_records" USING btree ("source_id") WHERE kind = 'reversal';--> statement-breakpoint
CREATE INDEX "reversals_account" ON "reversals" USING btree ("account_id");--> statement-breakpoint
CREATE UNIQUE INDEX "interfaces_method_path" ON "interfaces" USING btree ("method","path");--> statement-breakpoint
-- Calls that cost nothing are counted apart: the flusher alone writes usage_hourly.
CREATE OR REPLACE VIEW reporting.usage_hourly AS
  SELECT account_id, key_id, interface, hour, coalesce(u.calls, 0)::bigint AS calls,
    coalesce(n.refused, 0)::bigint AS refused, coalesce(n.failed, 0)::bigint AS failed,
    coalesce(u.amount_fen, 0)::bigint AS amount_fen
  FROM public.usage_hourly u
  FULL JOIN public.usage_unpaid n USING (account_id, hour, key_id, interface);
--> statement-breakpoint
ALTER TABLE "usage_hourly" DROP COLUMN "refused";--> statement-breakpoint
ALTER TABLE "usage_hourly" DROP COLUMN "failed";--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_previous_hash_unique" UNIQUE("previous_hash");--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "limits_are_positive" CHECK ("api_keys"."daily_fen" > 0 and "api_keys"."monthly_fen" > 0 and "api_keys"."total_fen" > 0 and "api_keys"."rate_per_second" > 0);
--> statement-breakpoint
ALTER TABLE usage_unpaid SET (fillfactor = 70);
