import type { Redis } from "ioredis"
import { randomChars } from "../ids.ts"
import {
  BATCH_DEADLINE_MS,
  QUEUE_WAIT_MS,
  REOPEN_POLL_MS,
  SETTLE_RETRY_MS,
  UNFLUSHED_RECORDS_MAX,
} from "../limits.ts"
import { AMOUNT_FEN_MAX } from "../money.ts"
import {
  type Batch,
  type ChargeItem,
  type ChargeOutcome,
  createBatch,
  tookAnything,
  UNAVAILABLE,
} from "./batch.ts"
import { accountKeyPrefix, memoKey, metaKey, streamKey } from "./keys.ts"
import { createLinger } from "./linger.ts"
import type { OpenedLedger, Openings } from "./opening.ts"
import { runScript, type ScriptReply } from "./run-script.ts"

/**
 * Sends the charges of one partition to Redis: one script call at a time, while the next batch
 * collects. A batch has a number in this process's slot, so that it runs once however often it is
 * sent (DESIGN section 4, "Exactly-once towards Redis").
 *
 * CLOSED    there is no slot. Charges are refused; `reopen` asks for one until it has it.
 * OPEN      batches are sent. An attempt whose outcome is unknown is repeated with its number.
 * SETTLING  a batch's deadline has passed: its callers were answered 503, and it is being revoked.
 *           New charges are refused until that is known; those that wait already have until
 *           QUEUE_WAIT_MS. Then OPEN.
 * STOPPED   nothing is in flight, and the slot is closed.
 *
 * A refusal speaks of one attempt. Once an attempt of a batch is unknown, only its memo or a revoke
 * settles it: it may have run before the answer that says NOSCRIPT or LOADING.
 */
export type Batcher = {
  charge(item: ChargeItem): Promise<ChargeOutcome>
  state(): State
  /** Finishes what is in flight, then closes the slot. */
  stop(): Promise<void>
}
type State = "closed" | "open" | "settling" | "stopped"

/** A batch under its number. `isExpired`: its callers have been told 503 already. */
type Call = { batch: Batch; number: number; entryId: string; isExpired: boolean }
type Waiting = { batch: Batch; sinceMs: number }

export type BatcherDeps = {
  redis: Redis
  openings: Openings
  partition: number
  onBatch(items: number): void
  log(message: string): void
}

export function createBatcher({ redis, openings, partition, onBatch, log }: BatcherDeps): Batcher {
  let state: State = "closed"
  let slot = ""
  /** Number of the last batch of the slot whose outcome is known. */
  let settled = 0
  let sending: Promise<void> | null = null
  let reopening: Promise<void> | null = null
  let isStopping = false
  /** The opening under which Redis was found to have lost batches: it is not believed any more. */
  let fencedOpening: number | null = null
  const waiting: Waiting[] = []
  const collected = () => waiting[0]?.batch.count() ?? 0
  const linger = createLinger()

  close()
  return { charge, state: () => state, stop }

  function charge(item: ChargeItem): Promise<ChargeOutcome> {
    const { amountFen } = item
    // A record of nothing would halt the flusher, and one above the largest is not exact for ever.
    if (amountFen < 1 || amountFen > AMOUNT_FEN_MAX) {
      return Promise.reject(new RangeError(`not an amount to charge: ${amountFen}`))
    }
    if (state !== "open" || isStopping) return Promise.resolve(UNAVAILABLE)
    return new Promise((settle) => {
      let last = waiting.at(-1)
      if (last === undefined || last.batch.isFull()) {
        last = { batch: createBatch(), sinceMs: performance.now() }
        waiting.push(last)
      }
      last.batch.add(item, settle)
      linger.joined(last.batch.count())
      sending ??= sendAll()
    })
  }

  /** Sends what waits, batch by batch, until nothing does. */
  async function sendAll(): Promise<void> {
    await linger.gather(collected)
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      // A call waits for one batch before its own at most; what was never sent is simply refused.
      const isStale = performance.now() - next.sinceMs > QUEUE_WAIT_MS
      if (isStale || state !== "open") next.batch.answerAll(UNAVAILABLE)
      else await carry(next.batch)
      linger.answered(next.batch.count() + collected())
      await linger.gather(collected)
    }
    sending = null
  }

  async function carry(batch: Batch): Promise<void> {
    onBatch(batch.count())
    const call: Call = { batch, number: settled + 1, entryId: randomChars(8), isExpired: false }
    // A stalled event loop must read the reply that is already there before it raises the alarm.
    const deadline = setTimeout(() => setImmediate(expire, call), BATCH_DEADLINE_MS)
    try {
      await settle(call)
    } finally {
      clearTimeout(deadline)
      call.isExpired = true
    }
  }

  function expire(call: Call): void {
    if (call.isExpired) return
    call.isExpired = true
    state = "settling"
    call.batch.answerAll(UNAVAILABLE)
    refuseStale()
    log(`partition ${partition}: batch ${call.number} had no answer in ${BATCH_DEADLINE_MS} ms`)
  }

  /** What waits may still be sent if the batch before it is settled in time; until then, and no longer. */
  function refuseStale(): void {
    for (let oldest = waiting[0]; oldest !== undefined; oldest = waiting[0]) {
      const leftMs = oldest.sinceMs + QUEUE_WAIT_MS - performance.now()
      if (leftMs > 0) {
        if (state === "settling") setTimeout(refuseStale, leftMs)
        return
      }
      waiting.shift()
      oldest.batch.answerAll(UNAVAILABLE)
    }
  }

  /** Repeats the batch until its outcome is known; past its deadline, revokes it. */
  async function settle(call: Call): Promise<void> {
    let isUnknown = false
    for (;;) {
      const reply = await send(call)
      if (reply.status === "done") return decided(call, reply.body)
      if (reply.status !== "unknown" && !isUnknown) return refused(call, reply.status)
      isUnknown = true
      if (call.isExpired) return revoke(call)
      await Bun.sleep(SETTLE_RETRY_MS / 5)
    }
  }

  async function decided(call: Call, reply: Buffer): Promise<void> {
    if (call.isExpired && tookAnything(reply)) return revoke(call)
    settled = call.number
    if (call.isExpired) reopened()
    else call.batch.answer(reply)
  }

  /** Nothing happened, and the number is still free. */
  function refused(call: Call, status: ScriptReply["status"]): void {
    if (!call.isExpired) call.batch.answerAll(UNAVAILABLE)
    if (status === "saturated" || status === "refused") return reopened()
    if (status === "ahead") {
      fencedOpening = openings.current()?.opening ?? null
      log(
        `ALARM partition ${partition}: Redis has lost batches; nothing is charged until it is verified`,
      )
    }
    close()
  }

  async function revoke(call: Call): Promise<void> {
    state = "settling"
    for (;;) {
      const reply = await sendRevoke(call)
      if (reply.status === "revoked" || reply.status === "barred") break
      if (reply.status !== "unknown" && reply.status !== "refused") {
        log(`partition ${partition}: batch ${call.number} cannot be settled yet: ${reply.status}`)
        await openings.reload().catch(() => undefined)
      }
      await Bun.sleep(SETTLE_RETRY_MS)
    }
    settled = call.number
    log(`partition ${partition}: batch ${call.number} is revoked`)
    reopened()
  }

  function reopened(): void {
    if (state === "settling") state = "open"
  }

  /** Until a slot is open again, nothing is sent. What waits is refused. */
  function close(): void {
    state = "closed"
    for (const { batch } of waiting.splice(0)) batch.answerAll(UNAVAILABLE)
    reopening ??= reopen().finally(() => {
      reopening = null
    })
  }

  async function reopen(): Promise<void> {
    while (!isStopping) {
      if (await tryOpenSlot()) {
        state = "open"
        return
      }
      await Bun.sleep(REOPEN_POLL_MS)
    }
  }

  /** A new slot under a new name: a batch of the old one that is still on its way finds it barred. */
  async function tryOpenSlot(): Promise<boolean> {
    const opened = await openings.reload().catch(() => null)
    if (opened === null || opened.opening === fencedOpening) return false
    const name = randomChars(12)
    const generation = generationOf(opened)
    const reply = await runScript(redis, opened.scripts.openSlot, {
      keys: [metaKey(partition), memoKey(partition, generation, name)],
      args: [String(generation), String(opened.partitions)],
    })
    if (reply.status !== "opened") return false
    slot = name
    settled = 0
    return true
  }

  function send({ batch, number, entryId }: Call): Promise<ScriptReply> {
    const opened = openings.current()
    if (opened === null) return Promise.resolve({ status: "unscripted" })
    const generation = generationOf(opened)
    return runScript(redis, opened.scripts.charge, {
      keys: batchKeys(batch, generation),
      args: [
        String(generation),
        String(opened.partitions),
        String(UNFLUSHED_RECORDS_MAX),
        slot,
        String(number),
        entryId,
        batch.items(),
      ],
    })
  }

  function sendRevoke({ batch, number }: Call): Promise<ScriptReply> {
    const opened = openings.current()
    if (opened === null) return Promise.resolve({ status: "unscripted" })
    const generation = generationOf(opened)
    return runScript(redis, opened.scripts.revoke, {
      keys: batchKeys(batch, generation),
      args: [
        String(generation),
        String(opened.partitions),
        slot,
        String(number),
        randomChars(8),
        batch.items(),
      ],
    })
  }

  function batchKeys(batch: Batch, generation: number): string[] {
    const prefix = accountKeyPrefix(partition, generation)
    const keys = [
      metaKey(partition),
      streamKey(partition, generation),
      memoKey(partition, generation, slot),
    ]
    for (const account of batch.accounts()) keys.push(prefix + account)
    return keys
  }

  function generationOf(opened: OpenedLedger): number {
    const generation = opened.generations[partition]
    if (generation === undefined) throw new Error(`broken invariant: no partition ${partition}`)
    return generation
  }

  async function stop(): Promise<void> {
    isStopping = true
    await sending
    await reopening
    const opened = openings.current()
    if (state === "open" && opened !== null) {
      await runScript(redis, opened.scripts.closeSlot, {
        keys: [memoKey(partition, generationOf(opened), slot)],
        args: [String(settled)],
      })
    }
    state = "stopped"
  }
}
