import { Type } from "@sinclair/typebox"
import type { changeRecords } from "../../db/schema.ts"
import { chargeId, parseAccountId } from "../ids.ts"
import { CLOSED, Cny, Fen, GivenFen, money, Time } from "./fields.ts"

/** A change record, as every route shows it. */

export const KINDS = [
  "charge",
  "capture",
  "recharge",
  "redemption",
  "reward_transfer",
  "signup_credit",
  "promotion",
  "reversal",
  "refund",
  "expiry",
  "adjustment",
  "forfeit",
] as const

export type ChangeRecord = typeof changeRecords.$inferSelect

export const Change = Type.Object(
  {
    seq: Type.Integer({ minimum: 1, description: "1, 2, 3 … per account, without a gap" }),
    type: Type.Integer({ minimum: 1, maximum: 2, description: "1 recharge, 2 deduct" }),
    kind: Type.String({ description: `One of ${KINDS.join(", ")}.` }),
    amountFen: GivenFen,
    amount: Cny,
    balanceBeforeFen: Fen,
    balanceBefore: Cny,
    balanceAfterFen: Fen,
    balanceAfter: Cny,
    description: Type.String(),
    at: Time,
    interface: Type.Optional(Type.String()),
    quantity: Type.Optional(Type.Integer({ minimum: 1 })),
    keyId: Type.Optional(Type.String()),
    chargeId: Type.Optional(Type.String({ description: "of kinds charge and capture" })),
    sourceId: Type.Optional(Type.String({ description: "what the amount came from" })),
    requestId: Type.Optional(Type.String()),
  },
  CLOSED,
)

export function viewChange(record: ChangeRecord) {
  const { seq, type, kind, description, at, quantity, keyId, sourceId, requestId } = record
  const isCharge = kind === "charge" || kind === "capture"
  return {
    seq,
    type,
    kind,
    ...money("amount", record.amountFen),
    ...money("balanceBefore", record.balanceBeforeFen),
    ...money("balanceAfter", record.balanceAfterFen),
    description,
    at: at.toISOString(),
    ...(record.interface !== null && { interface: record.interface }),
    ...(quantity !== null && { quantity }),
    ...(keyId !== null && { keyId }),
    ...(isCharge && {
      chargeId: chargeId({ accountId: parseAccountId(record.accountId), seq, at }),
    }),
    ...(sourceId !== null && { sourceId }),
    ...(requestId !== null && { requestId }),
  }
}
