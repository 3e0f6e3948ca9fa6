import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { chargeDetails } from "../../src/ledger/records.ts"
import { AMOUNT_FEN_MAX, parseFen } from "../../src/money.ts"
import { useLedger } from "../support/ledger.ts"

setDefaultTimeout(30_000)

/** What a charge says of itself, and its numbers, come out of Postgres as they went in. */
const ledger = useLedger()

const TEXTS: [string, string][] = [
  ["quotes and backslashes", `"it's" \\ 'quoted' \\" \\\\ \\n`],
  ["separators", "a\x1fb\x1f\x1fc\x1f"],
  ["what an array literal is made of", `{"a",b},{NULL},"},{",\\}`],
  ["the word NULL", "NULL"],
  ["an empty array", "{}"],
  ["spaces at both ends", "  a  "],
  ["line ends and tabs", "a\r\nb\tc\vd\fe"],
  ["control characters but NUL", "\x01\x02\x1b\x7f\x80"],
  ["Chinese", "调用用户登录接口：扣费成功"],
  ["characters beyond the first plane", "𠮷😀👨‍👩‍👧‍👦"],
  ["text that runs from the right", "\u202eabc\u202c مرحبا"],
  ["a byte order mark and non-characters", "\ufeffa\ufffe\uffff"],
  ["SQL", "'); drop table change_records; --"],
  ["placeholders", "$1 %s ${x} :a ?"],
  ["800 bytes of three-byte characters and one", `${"调".repeat(266)}ab`],
  ["800 bytes of four-byte characters", "😀".repeat(200)],
]

describe("a description", () => {
  for (const [name, description] of TEXTS) {
    test(`${name} comes out of Postgres exactly`, async () => {
      const { openAccount, pay } = ledger()
      const accountId = await openAccount({ balanceFen: 2 })
      const details = chargeDetails({
        ...WHO,
        requestId: description.replaceAll("\x1f", ""),
        description,
      })
      expect(await pay(accountId, 1, { details })).toMatchObject({ status: "accepted" })
      const [row] = await flushed(accountId)
      expect(row).toMatchObject({ description, requestId: description.replaceAll("\x1f", "") })
    })
  }

  test("with half a character comes out with the sign for what cannot be read", async () => {
    const { openAccount, pay } = ledger()
    const accountId = await openAccount({ balanceFen: 2 })
    await pay(accountId, 1, {
      details: chargeDetails({ ...WHO, requestId: "r", description: "a\ud800b\udc00" }),
    })
    expect(await flushed(accountId)).toMatchObject([{ description: "a\ufffdb\ufffd" }])
  })

  test("that is empty says what was called", async () => {
    const { openAccount, pay } = ledger()
    const accountId = await openAccount({ balanceFen: 2 })
    await pay(accountId, 1, {
      details: chargeDetails({ ...WHO, requestId: "", description: "" }),
    })
    expect(await flushed(accountId)).toMatchObject([
      { description: "API call user.login", requestId: "" },
    ])
  })

  test("of each of 300 parallel charges stays with its own", async () => {
    const { openAccount, pay } = ledger()
    const accountId = await openAccount({ balanceFen: 300 })
    const texts = Array.from({ length: 300 }, (_, i) => `${TEXTS[i % TEXTS.length]?.[1]} ${i}`)
    const outcomes = await Promise.all(
      texts.map((description, i) =>
        pay(accountId, 1, {
          details: chargeDetails({ ...WHO, requestId: String(i), description }),
        }),
      ),
    )
    const rows = new Map((await flushed(accountId)).map((row) => [row.seq, row]))
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status !== "accepted") throw new Error(outcome.status)
      expect(rows.get(String(outcome.seq))).toMatchObject({
        description: texts[i],
        requestId: String(i),
      })
    }
  })
})

describe("amounts at the edges are exact in the answer, in Redis and in Postgres", () => {
  for (const [balanceFen, amountFen] of [
    [AMOUNT_FEN_MAX, 1],
    [AMOUNT_FEN_MAX, AMOUNT_FEN_MAX],
    [4_294_967_296, 4_294_967_295],
    [999_999_999_999_999, 1],
    [1_000_000_000_000_001, 2],
  ] as const) {
    test(`${amountFen} of ${balanceFen}`, async () => {
      const { openAccount, pay, ledger: gateway } = ledger()
      const accountId = await openAccount({ balanceFen })
      const left = balanceFen - amountFen
      expect(await pay(accountId, amountFen)).toMatchObject({
        status: "accepted",
        balanceFen: left,
      })
      expect(await gateway.readAccount(accountId)).toMatchObject({ account: { balanceFen: left } })
      const [row] = await flushed(accountId)
      expect([row?.amount, row?.before, row?.after].map((text) => parseFen(text ?? ""))).toEqual(
        [amountFen, balanceFen, left].map((value) => parseFen(String(value))),
      )
    })
  }

  test("a quantity of a million stays one", async () => {
    const { openAccount, pay } = ledger()
    const accountId = await openAccount({ balanceFen: 1_000_000 })
    const details = chargeDetails({ ...WHO, quantity: 1_000_000, requestId: "r", description: "" })
    await pay(accountId, 1_000_000, { details })
    expect(await flushed(accountId)).toMatchObject([{ quantity: 1_000_000, amount: "1000000" }])
  })
})

const WHO = { keyId: "key_test", interface: "user.login", quantity: 1 }

type Row = {
  seq: string
  description: string
  requestId: string
  quantity: number
  amount: string
  before: string
  after: string
}

async function flushed(accountId: string): Promise<Row[]> {
  await ledger().books()
  return await ledger().stores.sql<Row[]>`
    select seq, description, request_id as "requestId", quantity, amount_fen as amount,
      balance_before_fen as before, balance_after_fen as after
    from change_records where account_id = ${accountId} and kind = 'charge' order by seq
  `
}
