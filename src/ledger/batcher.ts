import { within } from "../deadline.ts"
import type { HoldId } from "../ids.ts"
import {
  BATCH_DEADLINE_MS,
  QUEUE_WAIT_MS,
  REOPEN_POLL_MS,
  REVOKE_FILE_MS,
  SETTLE_RETRY_MS,
  STOP_SETTLE_MS,
} from "../limits.ts"
import { AMOUNT_FEN_MAX, type Fen } from "../money.ts"
import { messageOf } from "../ticker.ts"
import { type Batch, createBatch } from "./batch.ts"
import type {
  CaptureItem,
  CaptureOutcome,
  ChargeItem,
  ChargeOutcome,
  HoldItem,
  HoldOutcome,
  Idempotency,
  Unavailable,
  VoidOutcome,
} from "./items.ts"
import { createLinger } from "./linger.ts"
import { UNAVAILABLE } from "./outcomes.ts"
import type { ScriptReply } from "./run-script.ts"
import { createSlot, type Numbered, type SlotDeps } from "./slot.ts"

/**
 * Sends what moves the money of one partition to Redis: one script call at a time, while the next
 * batch collects. A batch has a number in this process's slot, so that it runs once however often it is
 * sent (DESIGN section 4, "Exactly-once towards Redis").
 *
 * CLOSED    there is no slot. Charges are refused; `reopen` asks for one until it has it.
 * OPEN      batches are sent. An attempt whose outcome is unknown is repeated with its number.
 * SETTLING  a batch's deadline has passed: its revoke is written down, its callers are answered 503,
 *           and it is being revoked.
 *           New charges are refused until that is known; those that wait already have until
 *           QUEUE_WAIT_MS. Then OPEN.
 * STOPPED   nothing is in flight, and the slot is closed; or the file tells the next start.
 *
 * A refusal speaks of one attempt. Once an attempt of a batch is unknown, only its memo or a revoke
 * settles it: it may have run before the answer that says NOSCRIPT or LOADING.
 */
export type Batcher = {
  charge(item: ChargeItem): Promise<ChargeOutcome>
  hold(item: HoldItem): Promise<HoldOutcome>
  capture(hold: HoldId, item: CaptureItem): Promise<CaptureOutcome>
  voidHold(hold: HoldId, item: Voiding): Promise<VoidOutcome>
  state(): State
  /** Redis was opened anew: takes another slot, before a call finds out. */
  renew(): void
  isCurrent(): boolean
  /** Finishes what is in flight, then closes the slot. */
  stop(): Promise<void>
}
type Voiding = { isExpiry: boolean; idempotency: Idempotency | null }
type State = "closed" | "open" | "settling" | "stopped"

/** `isExpired`: its callers have been told 503 already. */
type Call = Numbered & { isExpired: boolean }
type Waiting = { batch: Batch; sinceMs: number }

export type BatcherDeps = SlotDeps & {
  onBatch(items: number): void
  log(message: string): void
}

export function createBatcher(deps: BatcherDeps): Batcher {
  const { openings, partition, revokeFile, onBatch, log } = deps
  let state: State = "closed"
  const slot = createSlot(deps)
  /** Gives the answers of the batch that was decided last; null once they are given. */
  let last: (() => void) | null = null
  let sending: Promise<void> | null = null
  let reopening: Promise<void> | null = null
  let isStopping = false
  /** Stopping took too long: what is not settled is left to the file, and to the next start. */
  let isGivenUp = false
  const waiting: Waiting[] = []
  const collected = () => waiting[0]?.batch.count() ?? 0
  const linger = createLinger()

  close()
  const { isCurrent } = slot
  return { charge, hold, capture, voidHold, state: () => state, isCurrent, renew, stop }

  function charge(item: ChargeItem): Promise<ChargeOutcome> {
    if (!isAmount(item.amountFen)) return notAnAmount(item.amountFen)
    return join((batch, settle) => batch.addCharge(item, settle))
  }

  function hold(item: HoldItem): Promise<HoldOutcome> {
    if (!isAmount(item.amountFen)) return notAnAmount(item.amountFen)
    return join((batch, settle) => batch.addHold(item, settle))
  }

  function capture(of: HoldId, item: CaptureItem): Promise<CaptureOutcome> {
    const { amountFen } = item
    if (amountFen !== null && !isAmount(amountFen)) return notAnAmount(amountFen)
    return join((batch, settle) => batch.addCapture(of, item, settle))
  }

  function voidHold(of: HoldId, item: Voiding): Promise<VoidOutcome> {
    return join((batch, settle) => batch.addVoid(of, item, settle))
  }

  function join<Outcome>(
    add: (batch: Batch, settle: (outcome: Outcome | Unavailable) => void) => void,
  ): Promise<Outcome | Unavailable> {
    if (state !== "open" || isStopping) return Promise.resolve(UNAVAILABLE)
    return new Promise((settle) => {
      let open = waiting.at(-1)
      if (open === undefined || open.batch.isFull()) {
        open = { batch: createBatch(), sinceMs: performance.now() }
        waiting.push(open)
      }
      add(open.batch, settle)
      linger.joined(open.batch.count())
      sending ??= sendAll()
    })
  }

  /** Sends what waits, batch by batch, until nothing does. */
  async function sendAll(): Promise<void> {
    await linger.gather(collected)
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      // A call waits for one batch before its own at most; what was never sent is simply refused.
      const isStale = performance.now() - next.sinceMs > QUEUE_WAIT_MS
      if (isStale || state !== "open") {
        next.batch.refuseAll()
        answerLast()
      } else await carry(next.batch)
      linger.answered(next.batch.count() + collected())
      if (waiting[0]?.batch.isFull() !== true) await linger.gather(collected)
    }
    answerLast()
    sending = null
  }

  async function carry(batch: Batch): Promise<void> {
    onBatch(batch.count())
    const call: Call = { ...slot.number(batch), isExpired: false }
    // A stalled event loop must read the reply that is already there before it raises the alarm.
    const deadline = setTimeout(() => setImmediate(() => void expire(call)), BATCH_DEADLINE_MS)
    try {
      await settle(call)
    } finally {
      clearTimeout(deadline)
      call.isExpired = true
    }
  }

  async function expire(call: Call): Promise<void> {
    if (call.isExpired) return
    call.isExpired = true
    state = "settling"
    log(`partition ${partition}: batch ${call.number} had no answer in ${BATCH_DEADLINE_MS} ms`)
    refuseStale()
    const writing = revokeFile.write(slot.orderOf(call))
    await within(writing, { timeoutMs: REVOKE_FILE_MS, what: "the disk" }).catch((error: unknown) =>
      log(`ALARM partition ${partition}: a revoke is not on the disk yet: ${String(error)}`),
    )
    call.batch.refuseAll()
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
      oldest.batch.refuseAll()
    }
  }

  /** Repeats the batch until its outcome is known; past its deadline, revokes it. */
  async function settle(call: Call): Promise<void> {
    let isUnknown = false
    for (;;) {
      const sent = slot.send(call)
      answerLast()
      const reply = await sent
      if (reply.status === "done") return decided(call, reply.body)
      if (reply.status !== "unknown" && !isUnknown) return refused(call, reply.status)
      isUnknown = true
      if (call.isExpired) return revoke(call)
      await Bun.sleep(SETTLE_RETRY_MS / 5)
    }
  }

  async function decided(call: Call, reply: Buffer): Promise<void> {
    if (call.isExpired && call.batch.tookAnything(reply)) return revoke(call)
    slot.settled(call.number, reply)
    if (call.isExpired) reopened()
    else {
      const generation = slot.generation()
      last = () => call.batch.answer(reply, generation)
      // Redis works at the next batch, where one is full, while this process gives the answers.
      if (waiting[0]?.batch.isFull() !== true) answerLast()
    }
  }

  function answerLast(): void {
    const answer = last
    last = null
    answer?.()
  }

  /** Nothing happened, and the number is still free. */
  function refused(call: Call, status: ScriptReply["status"]): void {
    if (!call.isExpired) call.batch.refuseAll()
    if (status === "saturated" || status === "refused") return reopened()
    if (status === "ahead") {
      slot.doubt()
      log(
        `ALARM partition ${partition}: Redis has lost batches; nothing is charged until it is verified`,
      )
    }
    close()
  }

  async function revoke(call: Call): Promise<void> {
    state = "settling"
    const order = slot.orderOf(call)
    for (;;) {
      const { status } = await slot.revoke(order)
      if (status === "revoked" || status === "barred") break
      // It is settled: by another process, which has found the file, or from the record.
      if (status === "slot_closed") return close()
      if (isGivenUp) return
      if (status !== "unknown" && status !== "refused") {
        log(`partition ${partition}: batch ${call.number} cannot be settled yet: ${status}`)
        await openings.reload().catch(() => undefined)
      }
      await Bun.sleep(SETTLE_RETRY_MS)
    }
    slot.undone(order)
    log(`partition ${partition}: batch ${call.number} is revoked`)
    reopened()
  }

  function reopened(): void {
    if (state === "settling") state = "open"
  }

  /** A batch that is under way finds out by itself. */
  function renew(): void {
    if (state === "open" && sending === null && !isStopping) close()
  }

  /** Until a slot is open again, nothing is sent. What waits is refused. */
  function close(): void {
    state = "closed"
    for (const { batch } of waiting.splice(0)) batch.refuseAll()
    reopening ??= reopen().finally(() => {
      reopening = null
    })
  }

  async function reopen(): Promise<void> {
    let isNoted = false
    while (!isStopping) {
      try {
        if (await slot.open()) {
          state = "open"
          return
        }
      } catch (error) {
        // A slot whose revokes cannot be written down is not used.
        if (!isNoted) log(`ALARM partition ${partition}: no slot is opened: ${messageOf(error)}`)
        isNoted = true
      }
      await Bun.sleep(REOPEN_POLL_MS)
    }
  }

  async function stop(): Promise<void> {
    isStopping = true
    await Promise.race([Promise.all([sending, reopening]), Bun.sleep(STOP_SETTLE_MS)])
    isGivenUp = true
    const isKept = state !== "open" || !(await slot.close())
    state = "stopped"
    await revokeFile.close({ isKept })
  }
}

function isAmount(amountFen: Fen): boolean {
  return amountFen >= 1 && amountFen <= AMOUNT_FEN_MAX
}

/** A record of nothing would halt the flusher, and one above the largest is not exact for ever. */
function notAnAmount(amountFen: Fen): Promise<never> {
  return Promise.reject(new RangeError(`not an amount to move: ${amountFen}`))
}
