import { connectSql } from "../../db/connection.ts"
import { startFlusherProcess } from "../../src/flusher/process.ts"
import { parseAccountId } from "../../src/ids.ts"
import { createLedger, type Ledger } from "../../src/ledger/ledger.ts"
import { fen } from "../../src/money.ts"
import { startKeeper } from "../../src/recovery/keeper.ts"
import { chargeOf, detailsOf } from "../support/details.ts"
import type { Answer } from "./model.ts"
import type { FromPart, Sent, ToGateway } from "./parts.ts"

/** One part of the system in a process of its own, so that it can be killed. It ends with its input. */

const {
  REDIS_URL: redisUrl = "",
  DATABASE_URL: databaseUrl = "",
  DATA_DIR: dataDir = "",
} = process.env
const partitions = Number(process.env.PARTITIONS)
const [role] = process.argv.slice(2)
const answers: [string, Answer][] = []
const log = (line: string) => tell({ is: "log", line: `${role}: ${line}` })

if (role === "gateway") await runGateway()
else {
  const part = await started(() =>
    role === "keeper"
      ? startKeeper({ redisUrl, databaseUrl, partitions, log })
      : startFlusherProcess({ redisUrl, databaseUrl, dataDir }, log),
  )
  tell({ is: "started" })
  for await (const _line of console);
  await part.stop()
}
process.exit(0)

async function runGateway(): Promise<void> {
  const sql = connectSql(databaseUrl, { max: 2, applicationName: "model gateway" })
  const deps = { redisUrl, sql, dataDir, onBatch: () => undefined, log }
  const ledger = await started(() => createLedger(deps))
  tell({ is: "started" })
  for await (const line of console) {
    if (line === "") break
    const order: ToGateway = JSON.parse(line)
    if (order.do === "stop") break
    if (order.do === "ask") void ask(ledger, order)
    else if (order.do === "look") void answer(order.op, ledger.health())
    else void answer(order.op, apply(ledger, order.accountId))
  }
  await ledger.stop()
  flush()
}

/** As its supervisor does: what cannot start while a store is away is started again. */
async function started<Part>(start: () => Promise<Part>): Promise<Part> {
  for (;;) {
    try {
      return await start()
    } catch (error) {
      log(String(error))
      await Bun.sleep(50)
    }
  }
}

async function ask(
  ledger: Ledger,
  { requests, wave }: { requests: readonly Sent[]; wave: number },
): Promise<void> {
  for (const [place, sent] of requests.entries()) {
    if (place > 0 && place % wave === 0) await Bun.sleep(1)
    void answer(sent.request.op, send(ledger, sent))
  }
}

/** Rejects where Postgres is away, which says what is pending. */
function apply(ledger: Ledger, accountId: string): Promise<object> {
  return ledger.applyPending(parseAccountId(accountId)).catch((error: unknown) => {
    log(String(error))
    return { status: "unavailable" }
  })
}

function send(ledger: Ledger, { request, accountId, holdId }: Sent): Promise<object> {
  const { op, key: idempotency } = request
  if (request.verb === "void") return ledger.voidHold({ holdId, idempotency })
  const amountFen = request.amountFen === null ? null : fen(request.amountFen)
  if (request.verb === "capture") return ledger.capture({ holdId, amountFen, idempotency })
  const { authVersion } = request
  const details = detailsOf({ requestId: op })
  const account = { accountId: parseAccountId(accountId), amountFen: fen(request.amountFen) }
  const item = chargeOf({ ...account, authVersion, idempotency, details })
  if (request.verb === "charge") return ledger.charge(item)
  return ledger.hold({ ...item, ttlMs: request.ttlMs, isInternal: request.isForwarded })
}

/** The answers of one turn are one line. */
async function answer(op: string, outcome: Promise<object>): Promise<void> {
  answers.push([op, plain(await outcome)])
  if (answers.length === 1) setImmediate(flush)
}

function flush(): void {
  if (answers.length > 0) tell({ is: "answers", answers: answers.splice(0) })
}

function tell(message: FromPart): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** All of it that is no object: what is left of a limit is not compared. */
function plain(outcome: object): Answer {
  const fields = Object.entries(outcome).filter(([, value]) => typeof value !== "object")
  return { status: "", ...Object.fromEntries(fields) }
}
