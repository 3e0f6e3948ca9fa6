CREATE TABLE "erased_leaves" (
	"partition" integer NOT NULL,
	"position" bigint NOT NULL,
	"leaf" text NOT NULL,
	CONSTRAINT "erased_leaves_partition_position_pk" PRIMARY KEY("partition","position")
);
--> statement-breakpoint
CREATE TABLE "generations" (
	"partition" integer NOT NULL,
	"generation" integer NOT NULL,
	"records_before" bigint NOT NULL,
	"opened_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"last_entry" bigint,
	"last_records" bigint,
	"ended_at" timestamp (3) with time zone,
	CONSTRAINT "generations_partition_generation_pk" PRIMARY KEY("partition","generation")
);
--> statement-breakpoint
CREATE TABLE "idempotency_results" (
	"account_id" text NOT NULL,
	"seq" bigint NOT NULL,
	"partition" integer NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"digest" text NOT NULL,
	"fingerprint" text NOT NULL,
	"held_fen" bigint NOT NULL,
	"told" boolean DEFAULT false NOT NULL,
	CONSTRAINT "idempotency_results_account_id_seq_pk" PRIMARY KEY("account_id","seq")
);
--> statement-breakpoint
CREATE TABLE "incidents" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "incidents_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"partition" integer NOT NULL,
	"generation" integer NOT NULL,
	"kind" text NOT NULL,
	"from_entry" bigint,
	"through_entry" bigint,
	"records" bigint,
	"detail" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "losses" (
	"partition" integer NOT NULL,
	"generation" integer NOT NULL,
	"opening" bigint NOT NULL,
	"seen_opening" bigint NOT NULL,
	"entry_number" bigint NOT NULL,
	"records" bigint NOT NULL,
	"had_entry" bigint NOT NULL,
	"had_records" bigint NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"handled" boolean DEFAULT false NOT NULL,
	CONSTRAINT "losses_partition_generation_opening_seen_opening_pk" PRIMARY KEY("partition","generation","opening","seen_opening")
);
--> statement-breakpoint
CREATE TABLE "sightings" (
	"partition" integer NOT NULL,
	"generation" integer NOT NULL,
	"opening" bigint NOT NULL,
	"entry_number" bigint NOT NULL,
	"records" bigint NOT NULL,
	CONSTRAINT "sightings_partition_generation_opening_pk" PRIMARY KEY("partition","generation","opening")
);
--> statement-breakpoint
CREATE TABLE "drifts" (
	"account_id" text PRIMARY KEY NOT NULL,
	"partition" integer NOT NULL,
	"drift_fen" bigint NOT NULL,
	"detail" text NOT NULL,
	"found_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "reconciliation_runs" (
	"id" text PRIMARY KEY NOT NULL,
	"asked_by" text NOT NULL,
	"asked_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp (3) with time zone,
	"alive_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	"accounts" bigint DEFAULT 0 NOT NULL,
	"records" bigint DEFAULT 0 NOT NULL,
	"drift_fen" bigint DEFAULT 0 NOT NULL,
	"findings" text[] DEFAULT '{}' NOT NULL,
	"failure" text
);
--> statement-breakpoint
ALTER TABLE "account_snapshots" ADD COLUMN "chain_key" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "partitions" ADD COLUMN "claimed" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "partitions" ADD COLUMN "opening" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "partitions" ADD COLUMN "opened_entry" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "partitions" ADD COLUMN "opened_records" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "partitions" ADD COLUMN "is_refilling" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "partitions" ADD COLUMN "chain_head" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "partitions" ADD COLUMN "chain_start" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "reconciliation_runs_asked_at" ON "reconciliation_runs" USING btree ("asked_at");--> statement-breakpoint
CREATE INDEX "idempotency_results_at" ON "idempotency_results" USING btree ("partition","at");--> statement-breakpoint
CREATE UNIQUE INDEX "incidents_of_entries" ON "incidents" USING btree ("partition","generation","kind","from_entry");--> statement-breakpoint
-- An installation that has records already: its generations go on, and its chain begins here.
UPDATE partitions SET claimed = generation, chain_start = records,
  opening = (SELECT opening FROM ledger);--> statement-breakpoint
INSERT INTO generations (partition, generation, records_before)
  SELECT partition, generation, 0 FROM partitions WHERE generation > 0;--> statement-breakpoint
UPDATE account_snapshots SET chain_key = replace(gen_random_uuid()::text, '-', '');
