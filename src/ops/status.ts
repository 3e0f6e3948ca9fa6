import { describePostgres, type PostgresFacts } from "../../db/queries/describe-postgres.ts"
import { type KnownDrift, listDrifts } from "../../db/queries/list-drifts.ts"
import { type ListedIncident, listIncidents } from "../../db/queries/list-incidents.ts"
import { messageOf } from "../ticker.ts"
import { type Command, parseWords } from "./command.ts"
import { describePartitions, type PartitionStatus } from "./partitions.ts"
import { describeRedis, type RedisFacts } from "./redis-facts.ts"
import { requireRedis, requireRunning, type Urls, withPostgres } from "./stores.ts"
import { renderTable } from "./table.ts"

const INCIDENTS_SHOWN = 10
const DRIFTS_SHOWN = 20
const COMMAND_TIMEOUT_MS = 5_000

type Status = {
  postgres: PostgresFacts | { failure: string }
  redis: RedisFacts[] | { failure: string }
  partitions: PartitionStatus[]
  drifts: KnownDrift[]
  incidents: ListedIncident[]
}

/** How the stores and partitions are, also while one of the stores is away. */
export const status: Command = {
  summary: "how the partitions and both stores are, and what went wrong last",
  usage: `npm run ops -- status [--json]

For each partition: whether it is open, its generation, how far Postgres is behind, how far the books
are proven, and how long its hash chain is; then Redis, Postgres, accounts that drift, and the latest
${INCIDENTS_SHOWN} incidents. Exits with 1 where a store cannot be reached.

  --json  the same as one JSON object
`,
  async run(words, { env, out }) {
    const { values } = parseWords(words, { options: { json: { type: "boolean" } } })
    const found = await readStatus(requireRunning(env))
    out(values.json === true ? `${JSON.stringify(found, null, 2)}\n` : render(found))
    return "failure" in found.postgres || "failure" in found.redis ? 1 : 0
  },
}

async function readStatus(installation: Urls & { config: { dataDir: string } }): Promise<Status> {
  const redis = await orFailure(requireRedis(installation, COMMAND_TIMEOUT_MS))
  try {
    const redisFacts = "failure" in redis ? redis : await orFailure(describeRedis(redis))
    const inPostgres = await orFailure(
      withPostgres(installation, async (sql) => ({
        postgres: await describePostgres(sql),
        partitions: await describePartitions(
          { sql, redis: "failure" in redis ? null : redis },
          installation.config,
        ),
        drifts: await listDrifts(sql, DRIFTS_SHOWN),
        incidents: await listIncidents(sql, INCIDENTS_SHOWN),
      })),
    )
    if (!("failure" in inPostgres)) return { ...inPostgres, redis: redisFacts }
    return { postgres: inPostgres, redis: redisFacts, partitions: [], drifts: [], incidents: [] }
  } finally {
    if (!("failure" in redis)) redis.disconnect()
  }
}

async function orFailure<Value>(asked: Promise<Value>): Promise<Value | { failure: string }> {
  try {
    return await asked
  } catch (error) {
    return { failure: messageOf(error) }
  }
}

function render({ partitions, redis, postgres, drifts, incidents }: Status): string {
  const parts = [
    renderPartitions(partitions),
    ...("failure" in redis ? [`Redis: ${redis.failure}\n`] : redis.map(renderRedis)),
    renderPostgres(postgres),
    ...(drifts.length === 0 ? [] : [renderDrifts(drifts)]),
    incidents.length === 0 ? "no incidents\n" : renderIncidents(incidents),
  ]
  return parts.join("\n")
}

function renderPartitions(partitions: readonly PartitionStatus[]): string {
  const head =
    "partition,state,generation,opening,lag,records,flushed,reconciled,drift,chain,anchored"
  const rows = partitions.map((row) => [
    row.partition,
    row.state,
    row.generation,
    row.opening,
    row.lagRecords === null ? "?" : `${row.lagRecords} (${row.lagSeconds?.toFixed(1)} s)`,
    row.records,
    row.flushedAt?.toISOString() ?? "never",
    row.reconciledPosition,
    `${row.driftFen} fen`,
    row.chainLength,
    row.anchoredLength ?? "none",
  ])
  const reasons = partitions.flatMap(({ partition, reason }) =>
    reason === null ? [] : [`partition ${partition}: ${reason}\n`],
  )
  return [renderTable([head.split(","), ...rows]), ...reasons].join("")
}

function renderRedis(facts: RedisFacts): string {
  const { node, version, role, memoryBytes, maxMemoryBytes, appendfsync, replicas } = facts
  const of = maxMemoryBytes === 0 ? "without a limit" : `of ${megabytes(maxMemoryBytes)}`
  const aof = facts.isAofEnabled ? `appendfsync ${appendfsync ?? "?"}` : "NO append-only file"
  const write = facts.isLastWriteOk ? "" : ", its last write FAILED"
  return `Redis ${version} ${node}: ${role}, ${megabytes(memoryBytes)} ${of}, ${facts.evictionPolicy}, ${aof}${write}, ${replicas} replicas\n`
}

function renderPostgres(postgres: Status["postgres"]): string {
  if ("failure" in postgres) return `Postgres: ${postgres.failure}\n`
  const { version, sizeBytes, connections } = postgres
  return `Postgres ${version}: ${megabytes(sizeBytes)}, ${connections} connections\n`
}

function renderDrifts(drifts: readonly KnownDrift[]): string {
  const rows = drifts.map(({ accountId, partition, driftFen, foundAt, detail }) => [
    ...[accountId, partition, `${driftFen} fen`, foundAt.toISOString(), detail],
  ])
  return renderTable([["account", "partition", "drift", "found", "detail"], ...rows])
}

function renderIncidents(incidents: readonly ListedIncident[]): string {
  const rows = incidents.map(({ at, partition, generation, kind, records, detail }) => [
    ...[at.toISOString(), partition, generation, kind, records ?? "", detail],
  ])
  return renderTable([
    ["incident", "partition", "generation", "kind", "records", "detail"],
    ...rows,
  ])
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`
}
