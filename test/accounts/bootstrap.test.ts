import { expect, test } from "bun:test"
import { bootstrap } from "../../src/accounts/bootstrap.ts"
import { type Stores, startStores } from "../support/stores.ts"

async function withDatabase(run: (stores: Stores) => Promise<void>): Promise<void> {
  const stores = await startStores()
  try {
    await run(stores)
  } finally {
    await stores.stop()
  }
}

const local = ({ databaseUrl }: Stores) => ({
  databaseUrl,
  admin: null,
  embedded: true,
  loopback: true,
})
const codes = ({ sql }: Stores) =>
  sql`select code, amount_fen, total_uses, enabled from redemption_codes`
const admins = ({ sql }: Stores) => sql`select email, role from accounts where role = 'admin'`
const acts = async ({ sql }: Stores) =>
  (
    await sql<
      { act: string }[]
    >`select actor || ' ' || action as act from audit_log order by at, id`
  ).map(({ act }) => act)

test("a fresh embedded installation gets an administrator, whose password is told once", async () => {
  await withDatabase(async (stores) => {
    const first = await bootstrap(local(stores))
    expect(first.madeAdmin).toEqual({
      email: "admin@fengate.local",
      password: expect.stringMatching(/^[0-9a-z]{20}$/),
    })
    expect((await bootstrap(local(stores))).madeAdmin).toBeNull()
    expect([...(await admins(stores))]).toEqual([{ email: "admin@fengate.local", role: "admin" }])
    expect((await acts(stores)).toSorted()).toEqual([
      "system account.created",
      "system redemption_code.created",
    ])
    const [instruction] = await stores.sql`select number, kind, auth_version from instructions`
    expect(instruction).toEqual({ number: 1, kind: "open", auth_version: 1 })
  })
})

test("without embedded stores nobody is made, and there is no code to try", async () => {
  await withDatabase(async (stores) => {
    const { madeAdmin } = await bootstrap({ ...local(stores), embedded: false })
    expect(madeAdmin).toBeNull()
    expect(await admins(stores)).toHaveLength(0)
    expect(await codes(stores)).toHaveLength(0)
    expect(await acts(stores)).toEqual([])
  })
})

test("the configured administrator is made once, and keeps a password that was changed", async () => {
  await withDatabase(async (stores) => {
    const admin = { email: " Root@Example.com", password: "from the environment" }
    expect((await bootstrap({ ...local(stores), admin })).madeAdmin).toBeNull()
    const [made] = await stores.sql<{ hash: string }[]>`select password_hash as hash from accounts`
    expect(await Bun.password.verify(admin.password, made?.hash ?? "")).toBe(true)
    await stores.sql`update accounts set password_hash = 'changed'`
    await bootstrap({ ...local(stores), admin })
    expect([...(await stores.sql`select email, role, password_hash from accounts`)]).toEqual([
      { email: "root@example.com", role: "admin", password_hash: "changed" },
    ])
  })
})

test("an account of the configured e-mail is promoted, and that is audited", async () => {
  await withDatabase(async (stores) => {
    await stores.sql`insert into accounts (id, email, password_hash, invite_code)
      values ('acct_0000000000000000', 'root@example.com', 'own', 'x')`
    const admin = { email: "root@example.com", password: "12345678" }
    for (const _ of [1, 2]) await bootstrap({ ...local(stores), admin, embedded: false })
    expect([...(await stores.sql`select role, password_hash from accounts`)]).toEqual([
      { role: "admin", password_hash: "own" },
    ])
    expect(await acts(stores)).toEqual(["system account.promoted"])
  })
})

test("XUNAN666 is worth 10 CNY, and exists on loopback with own stores only", async () => {
  await withDatabase(async (stores) => {
    const code = { code: "XUNAN666", amount_fen: "1000", total_uses: null }
    await bootstrap(local(stores))
    expect([...(await codes(stores))]).toEqual([{ ...code, enabled: true }])
    for (const _ of [1, 2]) await bootstrap({ ...local(stores), loopback: false })
    expect([...(await codes(stores))]).toEqual([{ ...code, enabled: false }])
    await bootstrap(local(stores))
    expect([...(await codes(stores))]).toEqual([{ ...code, enabled: true }])
    expect((await acts(stores)).filter((act) => act.includes("code"))).toEqual([
      "system redemption_code.created",
      "system redemption_code.disabled",
      "system redemption_code.enabled",
    ])
  })
})

test("XUNAN666 stays disabled where an administrator disabled it, and stays where one made it", async () => {
  await withDatabase(async (stores) => {
    const { sql } = stores
    await bootstrap(local(stores))
    await sql`update redemption_codes set enabled = false`
    await sql`insert into audit_log (id, actor, action, target, details)
      select 'aud_1', 'acct_1', 'redemption_code.disabled', id, '{}' from redemption_codes`
    await bootstrap(local(stores))
    expect(await codes(stores)).toMatchObject([{ enabled: false }])
  })
  await withDatabase(async (stores) => {
    await stores.sql`insert into redemption_codes (id, code, amount_fen) values ('code_1', 'XUNAN666', 5)`
    await bootstrap({ ...local(stores), loopback: false })
    expect(await codes(stores)).toMatchObject([{ amount_fen: "5", enabled: true }])
  })
})
