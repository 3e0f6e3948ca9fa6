import type { AnyElysia } from "elysia"
import { ERRORS } from "../errors.ts"
import { OPEN_ROUTES } from "../http/open-routes.ts"
import { createPlugin } from "../http/route.ts"
import { type Json, readObject, readRecord } from "./json.ts"

/**
 * The API document, made of the schemas that the routes check with: what it says is what happens.
 * OpenAPI 3.1 takes JSON Schema as it is, so that nothing is translated.
 */
export function documentRoutes({ app, version }: { app: AnyElysia; version: string }) {
  let text: string | null = null
  return createPlugin().get(
    "/openapi.json",
    ({ set }) => {
      text ??= JSON.stringify(composeDocument(app, version))
      set.headers["content-type"] = "application/json"
      return text
    },
    { detail: { tags: ["Operations"], summary: "This document" } },
  )
}

type Route = { method: string; path: string; hooks?: unknown }

export function composeDocument(app: { routes: readonly Route[] }, version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of app.routes) {
    const path = documentPath(route.path)
    const item = paths[path] ?? {}
    for (const method of route.method === "ALL" ? METHODS : [route.method]) {
      item[method.toLowerCase()] = composeOperation({ ...route, method }, path)
    }
    paths[path] = item
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Fengate",
      version,
      description:
        "A prepaid billing gateway: every call pays its fen before it runs. Money is an integer number of fen (0.01 CNY).",
    },
    servers: [{ url: "/" }],
    security: [{ accessToken: [] }, { sessionCookie: [] }],
    paths,
    components: { schemas: { Problem }, securitySchemes: SECURITY_SCHEMES },
  }
}

/** The methods of a route that takes any: a document names each by itself. */
export const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

/** A path as a document writes it; `*` is the rest of one. */
export function documentPath(path: string): string {
  return path.replace(/:(\w+)/g, "{$1}").replace("*", "{rest}")
}

function composeOperation(route: Route, path: string): Json {
  const hooks = readObject(route.hooks)
  const detail = readObject(hooks.detail)
  const isOpen = OPEN_ROUTES.includes(`${route.method} ${route.path}`)
  const headers = Array.isArray(detail.parameters) ? detail.parameters : []
  const parameters = [
    ...pathParameters(path, hooks.params),
    ...queryParameters(hooks.query),
    ...headers,
  ]
  return {
    ...detail,
    operationId: operationId(route.method, path),
    ...(isOpen && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(hooks.body !== undefined && {
      requestBody: { required: true, content: { "application/json": { schema: hooks.body } } },
    }),
    responses: composeResponses(hooks.response, readObject(detail.responses)),
  }
}

function operationId(method: string, path: string): string {
  const words = path.split(/[/{}.\-_]+/).filter((word) => word !== "" && word !== "v1")
  const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("")
  return `${method.toLowerCase()}${name}`
}

function pathParameters(path: string, params: unknown): Json[] {
  const schemas = readObject(readObject(params).properties)
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    schema: schemas[name] ?? { type: "string" },
  }))
}

function queryParameters(query: unknown): Json[] {
  const { properties, required } = readObject(query)
  const names = Array.isArray(required) ? required : []
  return Object.entries(readObject(properties)).map(([name, schema]) => {
    const { "x-type": type, description, ...rest } = readObject(schema)
    return {
      name,
      in: "query",
      required: names.includes(name),
      ...(description !== undefined && { description }),
      schema: type ?? rest,
    }
  })
}

/** What a route answers, what it refuses by itself, and what every route may refuse with. */
function composeResponses(response: unknown, refusals: Record<string, unknown>): Json {
  const responses: Record<string, Json> = {}
  for (const [status, schema] of Object.entries(readRecord(response))) {
    const { description, type } = readObject(schema)
    responses[status] = {
      description: typeof description === "string" ? description : `Status ${status}.`,
      ...(type !== "void" && { content: { "application/json": { schema } } }),
    }
  }
  for (const [status, refusal] of Object.entries(refusals)) {
    responses[status] ??= { ...PROBLEM_CONTENT, ...readObject(refusal) }
  }
  if (Object.keys(responses).every((status) => !status.startsWith("2"))) {
    responses["200"] = { description: "Done." }
  }
  return { ...responses, default: { description: "A refusal.", ...PROBLEM_CONTENT } }
}

const PROBLEM_CONTENT = {
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
}

const text = (description: string) => ({ type: "string", description })

const Problem = {
  type: "object",
  description: "RFC 9457. Some codes add fields of their own.",
  properties: {
    type: text("A relative URI that names the code."),
    title: text("What happened, the same for all of this code."),
    status: { type: "integer" },
    detail: text("What happened here, and what to do."),
    code: { type: "string", enum: Object.keys(ERRORS) },
    requestId: text("The X-Request-Id of the answer."),
    retryable: { type: "boolean", description: "Whether the same request may succeed later." },
    errors: {
      type: "array",
      items: {
        type: "object",
        properties: { path: text("Where, as a JSON pointer."), message: text("What is wrong.") },
        required: ["path", "message"],
      },
    },
  },
  required: ["type", "title", "status", "detail", "code", "requestId", "retryable"],
}

const SECURITY_SCHEMES = {
  accessToken: { type: "http", scheme: "bearer", description: "fa_…: manages an account." },
  apiKey: { type: "http", scheme: "bearer", description: "fk_…: calls. Also as X-Api-Key." },
  serviceKey: { type: "http", scheme: "bearer", description: "fs_…: charges for accounts." },
  sessionCookie: { type: "apiKey", in: "cookie", name: "fengate_session" },
}
