CREATE TABLE "account_snapshots" (
	"account_id" text PRIMARY KEY NOT NULL,
	"partition" integer NOT NULL,
	"balance_fen" bigint NOT NULL,
	"last_seq" bigint NOT NULL,
	"instruction_number" integer NOT NULL,
	"auth_version" integer NOT NULL,
	"status" text NOT NULL,
	CONSTRAINT "snapshot_is_never_negative" CHECK ("account_snapshots"."balance_fen" >= 0)
);
--> statement-breakpoint
CREATE TABLE "accounts" (
	"id" text PRIMARY KEY NOT NULL,
	"email" text NOT NULL,
	"password_hash" text NOT NULL,
	"role" text DEFAULT 'developer' NOT NULL,
	"invite_code" text NOT NULL,
	"auth_version" integer DEFAULT 1 NOT NULL,
	"last_instruction" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "accounts_email_unique" UNIQUE("email"),
	CONSTRAINT "accounts_invite_code_unique" UNIQUE("invite_code")
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"name" text NOT NULL,
	"key_hash" text NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "api_keys_key_hash_unique" UNIQUE("key_hash")
);
--> statement-breakpoint
CREATE TABLE "attempts" (
	"key" text PRIMARY KEY NOT NULL,
	"count" integer NOT NULL,
	"window_ends_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_log" (
	"id" text PRIMARY KEY NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"target" text NOT NULL,
	"details" jsonb NOT NULL,
	"request_id" text,
	"address" text,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "change_records" (
	"account_id" text NOT NULL,
	"seq" bigint NOT NULL,
	"type" smallint NOT NULL,
	"kind" text NOT NULL,
	"amount_fen" bigint NOT NULL,
	"balance_before_fen" bigint NOT NULL,
	"balance_after_fen" bigint NOT NULL,
	"description" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"interface" text,
	"quantity" integer,
	"key_id" text,
	"source_id" text,
	"request_id" text,
	"partition" integer NOT NULL,
	"position" bigint NOT NULL,
	"slot" text,
	"batch" bigint,
	CONSTRAINT "change_records_account_id_seq_at_pk" PRIMARY KEY("account_id","seq","at"),
	CONSTRAINT "amount_is_positive" CHECK ("change_records"."amount_fen" > 0),
	CONSTRAINT "balance_is_never_negative" CHECK ("change_records"."balance_after_fen" >= 0),
	CONSTRAINT "before_and_amount_make_after" CHECK ("change_records"."balance_after_fen" = "change_records"."balance_before_fen" + case "change_records"."type" when 1 then "change_records"."amount_fen" else -"change_records"."amount_fen" end),
	CONSTRAINT "type_is_recharge_or_deduct" CHECK ("change_records"."type" in (1, 2))
) PARTITION BY RANGE ("at");
--> statement-breakpoint
CREATE TABLE "counter_accounts" (
	"partition" integer NOT NULL,
	"kind" text NOT NULL,
	"credit_fen" bigint NOT NULL,
	"debit_fen" bigint NOT NULL,
	CONSTRAINT "counter_accounts_partition_kind_pk" PRIMARY KEY("partition","kind")
);
--> statement-breakpoint
CREATE TABLE "instructions" (
	"account_id" text NOT NULL,
	"number" integer NOT NULL,
	"kind" text NOT NULL,
	"amount_fen" bigint DEFAULT 0 NOT NULL,
	"auth_version" integer DEFAULT 0 NOT NULL,
	"source_id" text,
	"description" text DEFAULT '' NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"flushed" boolean DEFAULT false NOT NULL,
	CONSTRAINT "instructions_account_id_number_pk" PRIMARY KEY("account_id","number"),
	CONSTRAINT "credit_is_not_negative" CHECK ("instructions"."amount_fen" >= 0)
);
--> statement-breakpoint
CREATE TABLE "interfaces" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"method" text NOT NULL,
	"path" text NOT NULL,
	"price_fen" bigint NOT NULL,
	"charge_on" text DEFAULT '2xx' NOT NULL,
	CONSTRAINT "price_is_positive" CHECK ("interfaces"."price_fen" > 0)
);
--> statement-breakpoint
CREATE TABLE "ledger" (
	"id" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"partitions" integer NOT NULL,
	"opening" bigint DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE "partitions" (
	"partition" integer PRIMARY KEY NOT NULL,
	"generation" integer DEFAULT 0 NOT NULL,
	"is_open" boolean DEFAULT false NOT NULL,
	"entry_number" bigint DEFAULT 0 NOT NULL,
	"entry_id" text DEFAULT '' NOT NULL,
	"records" bigint DEFAULT 0 NOT NULL,
	"flushed_at" timestamp (3) with time zone,
	"stopped_because" text
);
--> statement-breakpoint
CREATE TABLE "reconciliation" (
	"partition" integer PRIMARY KEY NOT NULL,
	"reconciled_position" bigint DEFAULT 0 NOT NULL,
	"reconciled_through" timestamp (3) with time zone,
	"drift_fen" bigint DEFAULT 0 NOT NULL,
	"checked_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "redemption_codes" (
	"id" text PRIMARY KEY NOT NULL,
	"code" text NOT NULL,
	"amount_fen" bigint NOT NULL,
	"total_uses" integer,
	"used" integer DEFAULT 0 NOT NULL,
	"starts_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone,
	"enabled" boolean DEFAULT true NOT NULL,
	"note" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "redemption_codes_code_unique" UNIQUE("code"),
	CONSTRAINT "face_value_is_positive" CHECK ("redemption_codes"."amount_fen" > 0),
	CONSTRAINT "uses_stay_within_total" CHECK ("redemption_codes"."total_uses" is null or "redemption_codes"."used" <= "redemption_codes"."total_uses")
);
--> statement-breakpoint
CREATE TABLE "redemptions" (
	"id" text PRIMARY KEY NOT NULL,
	"code_id" text NOT NULL,
	"account_id" text NOT NULL,
	"amount_fen" bigint NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"token_hash" text NOT NULL,
	"address" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "sessions_token_hash_unique" UNIQUE("token_hash")
);
--> statement-breakpoint
CREATE TABLE "usage_hourly" (
	"account_id" text NOT NULL,
	"key_id" text NOT NULL,
	"interface" text NOT NULL,
	"hour" timestamp (3) with time zone NOT NULL,
	"calls" bigint DEFAULT 0 NOT NULL,
	"refused" bigint DEFAULT 0 NOT NULL,
	"failed" bigint DEFAULT 0 NOT NULL,
	"amount_fen" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "usage_hourly_account_id_hour_key_id_interface_pk" PRIMARY KEY("account_id","hour","key_id","interface")
);
--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "redemptions" ADD CONSTRAINT "redemptions_code_id_redemption_codes_id_fk" FOREIGN KEY ("code_id") REFERENCES "public"."redemption_codes"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "account_snapshots_partition" ON "account_snapshots" USING btree ("partition");--> statement-breakpoint
CREATE INDEX "api_keys_account" ON "api_keys" USING btree ("account_id","created_at");--> statement-breakpoint
CREATE INDEX "attempts_window" ON "attempts" USING btree ("window_ends_at");--> statement-breakpoint
CREATE INDEX "audit_log_at" ON "audit_log" USING btree ("at");--> statement-breakpoint
CREATE INDEX "change_records_position" ON "change_records" USING btree ("partition","position");--> statement-breakpoint
CREATE INDEX "instructions_not_flushed" ON "instructions" USING btree ("created_at") WHERE not flushed;--> statement-breakpoint
CREATE UNIQUE INDEX "redemptions_once_per_account" ON "redemptions" USING btree ("code_id","account_id");--> statement-breakpoint
CREATE INDEX "redemptions_account" ON "redemptions" USING btree ("account_id");--> statement-breakpoint
CREATE INDEX "sessions_account" ON "sessions" USING btree ("account_id");