import { expect, test } from "bun:test"
import { OPEN_ROUTES } from "../../src/http/open-routes.ts"
import { documentPath, METHODS } from "../../src/operations/openapi.ts"
import { useSystem } from "../support/system.ts"

const system = useSystem()

type Operation = {
  operationId: string
  tags: string[]
  summary: string
  security?: unknown[]
  parameters?: { name: string; in: string; required: boolean; schema: { type?: string } }[]
  requestBody?: { content: Record<string, { schema: { properties: object } }> }
  responses: Record<string, { description: string; content?: Record<string, { schema: unknown }> }>
}

async function readOperations(): Promise<Map<string, Operation>> {
  const { body } = await system().request("GET", "/openapi.json")
  const operations = new Map<string, Operation>()
  for (const [path, item] of Object.entries<Record<string, Operation>>(body.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      operations.set(`${method.toUpperCase()} ${path}`, operation)
    }
  }
  return operations
}

test("the document has every route, each with a tag, a summary, an answer and the refusal", async () => {
  const operations = await readOperations()
  const routes = system().app.routes.flatMap(({ method, path }) =>
    (method === "ALL" ? METHODS : [method]).map((each) => `${each} ${documentPath(path)}`),
  )
  expect([...operations.keys()].toSorted()).toEqual(routes.toSorted())
  for (const [name, operation] of operations) {
    expect([name, operation.tags.length, typeof operation.summary]).toEqual([name, 1, "string"])
    const statuses = Object.keys(operation.responses)
    expect([name, statuses.some((status) => status.startsWith("2"))]).toEqual([name, true])
    expect(operation.responses.default?.content?.["application/problem+json"]?.schema).toEqual({
      $ref: "#/components/schemas/Problem",
    })
    for (const { description } of Object.values(operation.responses))
      expect(description).not.toBe("")
  }
  const ids = [...operations.values()].map(({ operationId }) => operationId)
  expect(new Set(ids).size).toBe(ids.length)
})

test("open routes need no credential, all others the account's", async () => {
  for (const [name, { security }] of await readOperations()) {
    expect([name, security?.length === 0]).toEqual([name, OPEN_ROUTES.includes(name)])
  }
})

test("every parameter in a path is declared, and no integer became a string", async () => {
  const operations = await readOperations()
  for (const [name, { parameters = [] }] of operations) {
    const inPath = [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter)
    expect(parameters.filter((each) => each.in === "path").map((each) => each.name)).toEqual(
      inPath.map(String),
    )
  }
  const limit = operations.get("GET /v1/changes")?.parameters?.find(({ name }) => name === "limit")
  expect(limit).toMatchObject({
    required: false,
    schema: { type: "integer", minimum: 1, maximum: 200, default: 50 },
  })
  const body = operations.get("POST /v1/admin/redemption-codes")?.requestBody?.content[
    "application/json"
  ]
  expect(body?.schema.properties).toMatchObject({ amountFen: { type: "integer", minimum: 1 } })
})

test("every body has an example, and its schema refuses unknown fields", async () => {
  for (const [name, { requestBody }] of await readOperations()) {
    const schema = requestBody?.content["application/json"]?.schema
    if (schema === undefined) continue
    expect([name, JSON.stringify(schema).includes('"examples":[')]).toEqual([name, true])
    expect(schema).toMatchObject({ type: "object", additionalProperties: false })
  }
})
