import { expect, test } from "bun:test"
import { type TSchema, Type } from "@sinclair/typebox"
import { Value } from "@sinclair/typebox/value"
import { OPEN_ROUTES } from "../../src/http/open-routes.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem()

type Route = { method: string; path: string; body: unknown }

/** Every route of the app, with a path and a body that its schemas accept. */
function listRoutes(): (Route & { name: string })[] {
  return system().app.routes.map(({ method, path, hooks }) => ({
    name: `${method} ${path}`,
    method: method === "ALL" ? "GET" : method,
    path: path
      .replace("/v1/keys/:id", "/v1/keys/key_0000000000000000")
      .replace("/v1/sessions/:id", "/v1/sessions/ses_0000000000000000")
      .replace("/redemption-codes/:id", "/redemption-codes/code_0000000000000000")
      .replace("/service-keys/:id", "/service-keys/svc_0000000000000000")
      .replace("/holds/:holdId", "/holds/hold_00000000000000000000000000000000.1")
      .replace("/authorize/*", "/authorize/api/user/login")
      .replace("/charges/:chargeId", "/charges/chg_0000000000000000_202601_1"),
    body: exampleOf(hooks.body),
  }))
}

function exampleOf(schema: TSchema | undefined): unknown {
  if (schema === undefined) return undefined
  const [example] = schema.examples ?? []
  return example ?? Value.Create(Type.Object(schema.properties))
}

test("only the routes on the list are open, and all of them exist", async () => {
  const names = listRoutes().map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining([...OPEN_ROUTES]))
  for (const { name, method, path, body } of listRoutes()) {
    const answer = await system().request(method, path, { body })
    if (OPEN_ROUTES.includes(name)) {
      expect([name, answer.body.code]).not.toEqual([name, "missing_credential"])
    } else {
      expect([name, answer.status, answer.body.code]).toEqual([name, 401, "missing_credential"])
    }
  }
})

test("every route under /v1/admin answers a developer 403", async () => {
  const { token } = await system().register()
  const admin = listRoutes().filter(({ path }) => path.startsWith("/v1/admin"))
  expect(admin.length).toBeGreaterThan(3)
  for (const { name, method, path, body } of admin) {
    const answer = await system().request(method, path, { body, token })
    expect([name, answer.status, answer.body.code]).toEqual([name, 403, "not_allowed"])
  }
})

test("who may not send anything learns that first, whatever is wrong with what is sent", async () => {
  for (const { name, method, path, body } of listRoutes()) {
    if (body === undefined || OPEN_ROUTES.includes(name)) continue
    for (const wrong of ["{", "[]", { wrong: 1 }, ""]) {
      const answer = await system().request(method, path, { body: wrong })
      expect([name, answer.status, answer.body.code]).toEqual([name, 401, "missing_credential"])
    }
  }
})
