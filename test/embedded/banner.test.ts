import { afterAll, beforeAll, expect, test } from "bun:test"
import { composeBanner } from "../../src/embedded/banner.ts"

const trial = { email: "try-1@example.com", password: "12345678" }
const asked: string[] = []
let server: ReturnType<typeof Bun.serve>

/** Answers as the gateway does: compact JSON, and only to what a line must send. */
beforeAll(() => {
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname } = new URL(request.url)
      const body: unknown = await request.json()
      asked.push(`${pathname} ${request.headers.get("authorization")} ${JSON.stringify(body)}`)
      if (pathname === "/v1/accounts") {
        return Response.json({ accountId: "acct_1", accessToken: "fa_1", expiresAt: "2030" })
      }
      if (pathname === "/v1/keys") return Response.json({ id: "key_1", name: "first", key: "fk_1" })
      return Response.json({ done: pathname })
    },
  })
})
afterAll(() => server.stop(true))

function bannerOf(options: { hasTrialCode?: boolean; isFirst?: boolean } = {}): string {
  const { hasTrialCode = true, isFirst = true } = options
  const madeAdmin = isFirst ? { email: "admin@example.com", password: "shown-once" } : null
  return composeBanner({ url: server.url.origin, madeAdmin, trial, hasTrialCode })
}

for (const shell of ["bash", "sh"]) {
  test(`its lines, pasted into ${shell}, register, redeem and pay`, async () => {
    asked.length = 0
    const lines = bannerOf()
      .split("\n")
      .filter((line) => /^TOKEN|^curl/.test(line))
    expect(lines).toHaveLength(3)
    const child = Bun.spawn([shell, "-c", lines.join("\n")], { stdout: "pipe", stderr: "pipe" })
    const [shown, answer] = await Promise.all([child.stdout.text(), child.stderr.text()])
    expect(asked).toEqual([
      `/v1/accounts null ${JSON.stringify(trial)}`,
      '/v1/redemptions Bearer fa_1 {"code":"XUNAN666"}',
      '/v1/keys Bearer fa_1 {"name":"first"}',
      '/v1/charges Bearer fk_1 {"interface":"user.login"}',
    ])
    expect(shown).toBe('\n{"done":"/v1/redemptions"}\n{"done":"/v1/charges"}\n')
    expect(answer).toBe('{"accountId":"acct_1","accessToken":"fa_1","expiresAt":"2030"}')
  })
}

test("it names the address, and the administrator's password once", () => {
  expect(bannerOf()).toContain(`Fengate listens on ${server.url.origin}\n`)
  expect(bannerOf()).toContain("admin: admin@example.com   password: shown-once")
  expect(bannerOf({ isFirst: false })).toContain(
    "admin: the one made at the first start, or ADMIN_EMAIL",
  )
})

test("it speaks of the trial's redemption code only where there is one", () => {
  expect(bannerOf({ hasTrialCode: false })).not.toContain("XUNAN666")
})

test("it is plain ASCII", () => {
  expect(bannerOf()).toMatch(/^[\n\x20-\x7e]+$/)
})
