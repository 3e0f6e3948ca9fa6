import type { HttpAnswer } from "./answer-reader.ts"

/** Answers by what they said. */
export type Tally = {
  statuses: Map<number, number>
  /** Refusals by the `code` of their problem. */
  codes: Map<string, number>
}

const CODE = /"code":"([a-z_]{1,64})"/
const CODES = new RegExp(CODE, "g")
const CHARGE_ID = Buffer.from('"chargeId":"')

export function count<Key>(counts: Map<Key, number>, key: Key, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}

export function tallyAnswer({ statuses, codes }: Tally, { status, body }: HttpAnswer): void {
  count(statuses, status)
  if (status >= 400) count(codes, codeOf(body))
}

/** The `code` of a problem; of an answer that is none, as a proxy in between may give, "other". */
export function codeOf(body: Buffer): string {
  return CODE.exec(body.toString("latin1"))?.[1] ?? "other"
}

/** How many charges the answer to a batch has among its results; the others count by their code. */
export function tallyBatch({ codes }: Tally, { body }: HttpAnswer, items: number): number {
  let charges = 0
  for (let at = body.indexOf(CHARGE_ID); at >= 0; at = body.indexOf(CHARGE_ID, at + 1)) charges++
  if (charges < items) {
    for (const [, code = "other"] of body.toString("latin1").matchAll(CODES)) count(codes, code)
  }
  return charges
}
