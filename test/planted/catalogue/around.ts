import type { PlantedFault } from "../fault.ts"

/** Around the ledger: amounts, gateways, the reconciliation that finds what all others missed. */
export const AROUND_FAULTS: readonly PlantedFault[] = [
  {
    name: "an amount may be a fraction",
    loses: "everybody's: sums of fractions are not exact",
    edits: [
      {
        file: "src/money.ts",
        from: "if (!Number.isSafeInteger(value) || value < 0) {",
        to: "if (!(value >= 0)) {",
      },
    ],
    caughtBy: { file: "test/money.test.ts", test: "fen refuses whatever is not an amount" },
  },
  {
    name: "where billing cannot decide, the call is forwarded",
    loses: "the operator's: calls are free for as long as Redis is away",
    edits: [
      {
        file: "src/gateway/api.ts",
        from: 'if (outcome.status !== "held") {\n      return',
        to: 'if (outcome.status !== "held" && outcome.status !== "unavailable") {\n      return',
      },
    ],
    caughtBy: {
      file: "test/gateway/api.503.test.ts",
      test: "503: without a hold nothing is forwarded",
    },
  },
  {
    name: "an answer that could not be paid for is passed on",
    loses: "the operator's: the upstream has worked, and nobody pays",
    edits: [
      {
        file: "src/gateway/settle.ts",
        from: 'if (captured.status === "accepted") {',
        to: 'if (captured.status === "unavailable") {\n          return { status: "answered", response, controller, charged: null }\n        }\n        if (captured.status === "accepted") {',
      },
    ],
    caughtBy: {
      file: "test/gateway/api.503.test.ts",
      test: "503: an answer that cannot be paid for is thrown away, and costs nothing",
    },
  },
  {
    name: "reconciliation is blind to one fen",
    loses: "everybody's: what is wrong by one fen in each of a million accounts is never found",
    edits: [
      {
        file: "src/reconcile/states.ts",
        from: "if (driftFen === 0 && describe(state) === describe(expected)) return null",
        to: "if (driftFen <= 1) return null",
      },
    ],
    caughtBy: {
      file: "test/ops/reconcile.test.ts",
      test: "one fen of drift exits with 1, with and without --strict, and nothing is proven by it",
    },
  },
]
