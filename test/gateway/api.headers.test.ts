import { expect, test } from "bun:test"
import { connect } from "node:net"
import { newCredential, parseAccountId } from "../../src/ids.ts"
import { useApi } from "./api.ts"

const { system, upstream, offer, developer, call } = useApi()

const sent = () => upstream().calls.at(-1)?.headers ?? {}

test("the caller's credential never reaches the upstream, wherever it stood", async () => {
  await offer("/secret")
  const caller = await developer()
  const { accountId, key, token } = caller
  const other = newCredential("fk", parseAccountId(accountId))
  const ways: Record<string, string>[] = [
    { authorization: `Bearer ${key}` },
    { authorization: `bearer ${key}`, "x-api-key": other },
    { authorization: key },
    { "x-api-key": key },
  ]
  for (const headers of ways) {
    const cookie = `a=1; fengate_session=${token}; b=2`
    const answer = await fetch(`${system().url}/api/secret`, { headers: { ...headers, cookie } })
    expect(answer.status).toBe(200)
    const { head } = upstream().calls.at(-1) ?? { head: "" }
    expect(head).not.toMatch(/f[kas]_[0-9a-z]{20}/)
    expect(sent()).not.toContainAnyKeys(["authorization", "x-api-key"])
    expect(sent().cookie).toBe("a=1; b=2")
  }
  await call(caller, "/secret", { headers: { cookie: `fengate_session=${token}` } })
  expect(sent().cookie).toBeUndefined()
  // What is the upstream's own passes.
  await call(caller, "/secret", { headers: { "x-api-key": "the upstream's", cookie: "c=3" } })
  expect(sent()).toMatchObject({ "x-api-key": "the upstream's", cookie: "c=3" })
})

test("who calls is said by us alone, however it is spelled", async () => {
  await offer("/spoofed")
  const caller = await developer()
  const forged = "forged"
  await call(caller, "/spoofed", {
    headers: {
      ...{ "x-account-id": forged, X_Account_Id: forged, "x-account_id": forged },
      ...{ "x-key-id": forged, x_key_id: forged, x_request_id: forged },
      ...{ "x-forwarded-for": forged, "x-forwarded-host": forged, "x-forwarded-proto": forged },
      ...{ "x-forwarded-user": forged, x_forwarded_for: forged, forwarded: `for=${forged}` },
      ...{ "x-real-ip": forged, "x-original-url": forged, "x-rewrite-url": forged },
      ...{ "x-http-method-override": forged, "x-method-override": forged },
      "x-request-id": "well-formed",
    },
  })
  expect(JSON.stringify(sent())).not.toContain(forged)
  expect(sent()).toMatchObject({
    ...{
      "x-account-id": caller.accountId,
      "x-key-id": caller.keyId,
      "x-request-id": "well-formed",
    },
    ...{ "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http" },
    "x-forwarded-host": new URL(system().url).host,
    host: new URL(upstream().url).host,
  })
})

test("headers of one connection are not passed on, in either direction", async () => {
  await offer("/hops")
  upstream().on("/hops", ({ reply }) =>
    reply({
      headers: [
        "Connection: keep-alive, X-Inner",
        ...["X-Inner: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Trailer: X-T"],
        ...["Upgrade: h2c", "X-Outer: 2", "X-Request-Id: the upstream's"],
      ],
    }),
  )
  const { key } = await developer()
  const answer = await exchange(
    [
      "POST /api/hops HTTP/1.1",
      `Host: ${new URL(system().url).host}`,
      `Authorization: Bearer ${key}`,
      ...["Connection: close, X-Mine, X-Account-Id", "X-Mine: 1", "Keep-Alive: timeout=5"],
      ...["TE: trailers", "Trailer: X-T", "Upgrade: websocket", "Proxy-Authorization: Basic x"],
      ...["Proxy-Connection: keep-alive", "Expect: 100-continue", "X-Request-Id: ours"],
      ...["Content-Length: 2", "X-Yours: 2", "", "hi"],
    ].join("\r\n"),
  )
  const gone = ["x-mine", "keep-alive", "te", "trailer", "upgrade", "expect"]
  expect(sent()).not.toContainAnyKeys([...gone, "proxy-authorization", "proxy-connection"])
  expect(sent()).toMatchObject({ "x-yours": "2", "x-request-id": "ours", "content-length": "2" })
  expect(sent()["x-account-id"]).toStartWith("acct_")
  const head = answer.slice(0, answer.lastIndexOf("\r\n\r\n"))
  expect(head).toContain("HTTP/1.1 200")
  expect(head).not.toMatch(/x-inner|timeout=5|proxy-authenticate|trailer|h2c|the upstream's/i)
  expect(head).toMatch(/x-outer: 2/i)
  expect(head).toMatch(/x-request-id: ours/i)
})

test("no spelling of a path makes a call cheaper than the operation that it reaches", async () => {
  await offer("/shop/buy", { priceFen: 50 })
  await offer("/shop/{thing}", { priceFen: 2 })
  await offer("/*")
  const caller = await developer(100_000)
  const reaches = async (target: string) => {
    const before = upstream().calls.length
    const host = new URL(system().url).host
    const answer = await exchange(
      `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${caller.key}\r\nConnection: close\r\n\r\n`,
    )
    const cost = /x-charge-fen: (\d+)/i.exec(answer)?.[1] ?? null
    const path = upstream().calls.length === before ? null : upstream().calls.at(-1)?.path
    return [cost, path]
  }
  for (const path of ["/shop/buy", "/shop/buy/", "/shop/BUY", "/Shop/%62uy", "/x/../shop/buy"]) {
    expect([path, ...(await reaches(`/api${path}`))]).toEqual([path, "50", "/shop/buy"])
  }
  expect(await reaches("/api/shop/look")).toEqual(["2", "/shop/look"])
  expect(await reaches("/api/other//")).toEqual([null, null])
  for (const path of [
    "//shop/buy",
    "/shop//buy",
    "/shop%2fbuy",
    "/shop%5Cbuy",
    "/shop/buy;a=b",
    "/shop/buy%00",
    "/shop/buy#x",
    "/shop/%2e%2e%2fshop/buy",
    "/shop/buy%2f",
  ]) {
    expect([path, ...(await reaches(`/api${path}`))]).toEqual([path, null, null])
  }
})

/** What is answered to these bytes, until the connection ends. */
function exchange(text: string): Promise<string> {
  const { hostname, port } = new URL(system().url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) })
    let answer = ""
    socket.on("data", (bytes) => (answer += bytes.toString("latin1")))
    socket.on("close", () => resolve(answer))
    socket.on("error", reject)
    socket.write(text)
  })
}
