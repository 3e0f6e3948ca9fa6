import { expect, test } from "bun:test"
import { createRouting, type Pattern } from "../../src/gateway/routing.ts"

function routing(...patterns: string[]) {
  const routes: Pattern[] = patterns.map((text) => {
    const [method = "", path = ""] = text.split(" ")
    return { method, path }
  })
  const match = createRouting(routes.map((route) => ({ ...route, route })))
  return (call: string): string | null => {
    const [method = "", path = ""] = call.split(" ")
    const found = match(method, path)
    return found === null ? null : `${found.route.method} ${found.route.path} -> ${found.path}`
  }
}

test("a literal goes before a parameter, and that before the rest, segment by segment", () => {
  const match = routing(
    "GET /api/*",
    "GET /api/users/*",
    "GET /api/users/:id",
    "GET /api/users/me",
    "GET /api/users/{id}/posts",
    "GET /api/users/me/{thing}",
    "POST /api/users/me/posts",
  )
  expect(match("GET /api/users/me")).toBe("GET /api/users/me -> /api/users/me")
  expect(match("GET /api/users/7")).toBe("GET /api/users/:id -> /api/users/7")
  expect(match("GET /api/users/7/posts")).toBe("GET /api/users/{id}/posts -> /api/users/7/posts")
  expect(match("GET /api/users/me/posts")).toBe("GET /api/users/me/{thing} -> /api/users/me/posts")
  expect(match("GET /api/users/7/likes")).toBe("GET /api/users/* -> /api/users/7/likes")
  expect(match("GET /api/users/me/a/b")).toBe("GET /api/users/* -> /api/users/me/a/b")
  expect(match("GET /api/users")).toBe("GET /api/users/* -> /api/users")
  expect(match("GET /api/posts/1/")).toBe("GET /api/* -> /api/posts/1/")
  expect(match("POST /api/users/7")).toBeNull()
})

test("a method of its own goes before GET for HEAD, and both before ANY", () => {
  const match = routing("GET /api/a", "HEAD /api/b", "GET /api/b", "ANY /api/a", "ANY /api/c")
  expect(match("HEAD /api/a")).toBe("GET /api/a -> /api/a")
  expect(match("HEAD /api/b")).toBe("HEAD /api/b -> /api/b")
  expect(match("HEAD /api/c")).toBe("ANY /api/c -> /api/c")
  expect(match("DELETE /api/a")).toBe("ANY /api/a -> /api/a")
  expect(match("GET /api/a")).toBe("GET /api/a -> /api/a")
  for (const method of ["CONNECT", "TRACE", "PROPFIND", "ANY", "get"]) {
    expect(match(`${method} /api/c`)).toBeNull()
  }
})

test("no spelling of a path reaches a cheaper pattern: it is forwarded as the pattern spells it", () => {
  const match = routing("POST /api/user/login", "POST /api/user/{name}", "ANY /api/*")
  const login = "POST /api/user/login -> /api/user/login"
  for (const path of [
    "/api/user/login",
    "/api/user/login/",
    "/api/user/LOGIN",
    "/API/User/Login/",
    "/api/user/%6c%6Fgin",
    "/%61pi/user/log%49n/",
  ]) {
    expect([path, match(`POST ${path}`)]).toEqual([path, login])
  }
})

test("a path that servers read in different ways fits no pattern", () => {
  const match = routing("POST /api/user/login", "POST /api/user/{name}", "ANY /api/*", "ANY /*")
  for (const path of [
    "/api//user/login",
    "/api/user//login",
    "//api/user/login",
    "/api/user/login//",
    "/api/./user/login",
    "/api/x/../user/login",
    "/api/user/.",
    "/api/user/..",
    "/api/user/%2e",
    "/api/user/%2E%2e",
    "/api/user/.%2e/login",
    "/api/user%2flogin",
    "/api/user%2Flogin",
    "/api/user%5clogin",
    "/api/user\\login",
    "/api/user/login;a=1",
    "/api/user/login;",
    "/api/user/login%00",
    "/api/user/login%0a",
    "/api/user/login%7f",
    "/api/user/lo%gin",
    "/api/user/%ff",
    "/api/user/%c0%ae%c0%ae",
    "/api/user/login#x",
    "/api/user/lögin",
    "api/user/login",
    "",
  ]) {
    expect([path, match(`POST ${path}`)]).toEqual([path, null])
  }
})

test("what a parameter or the rest stands for is forwarded as it was sent", () => {
  const match = routing("GET /api/u/{id}", "GET /api/files/*", "GET /api/slash/{id}/", "GET /*")
  expect(match("GET /api/u/a%20b%3Bc%25")).toBe("GET /api/u/{id} -> /api/u/a%20b%3Bc%25")
  expect(match("GET /api/u/%252e")).toBe("GET /api/u/{id} -> /api/u/%252e")
  expect(match("GET /api/files/A/b%3F/")).toBe("GET /api/files/* -> /api/files/A/b%3F/")
  expect(match("GET /api/slash/1")).toBe("GET /api/slash/{id}/ -> /api/slash/1/")
  expect(match("GET /")).toBe("GET /* -> /")
})

test("patterns that spell a segment in two ways are forwarded each in its own", () => {
  const match = routing("GET /api/User/a", "GET /api/user/b")
  expect(match("GET /api/user/A")).toBe("GET /api/User/a -> /api/User/a")
  expect(match("GET /api/USER/b")).toBe("GET /api/user/b -> /api/user/b")
})
