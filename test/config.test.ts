import { describe, expect, test } from "bun:test"
import { availableParallelism } from "node:os"
import { ConfigError, readConfig } from "../src/config.ts"

const STORES = {
  REDIS_URL: "redis://:redis-secret@redis:6379",
  DATABASE_URL: "postgres://me:db-secret@postgres/fengate",
}

test("without any setting it is a local trial with stores of its own", () => {
  expect(readConfig({})).toMatchObject({
    host: "127.0.0.1",
    port: 8787,
    publicUrl: "http://127.0.0.1:8787",
    stores: null,
    gateways: availableParallelism(),
    stopNoticeMs: 0,
    partitions: 1,
    admin: null,
    registrationsPerHour: 5_000,
  })
})

test("the settings of an installation arrive", () => {
  const config = readConfig({
    ...STORES,
    HOST: "::",
    PORT: "80",
    GATEWAYS: "4",
    TRUSTED_PROXIES: "10.0.0.1, ::1",
    ADMIN_EMAIL: "admin@example.com",
    ADMIN_PASSWORD: "12345678",
  })
  expect(config).toMatchObject({
    port: 80,
    publicUrl: "http://[::]:80",
    gateways: 4,
    stopNoticeMs: 5_000,
    trustedProxies: ["10.0.0.1", "::1"],
    stores: { redisUrl: STORES.REDIS_URL, databaseUrl: STORES.DATABASE_URL },
    admin: { email: "admin@example.com", password: "12345678" },
    registrationsPerHour: 100,
  })
  expect(readConfig({ PUBLIC_URL: "https://api.example.com/" }).publicUrl).toBe(
    "https://api.example.com",
  )
})

test("an empty setting is none", () => {
  expect(readConfig({ PORT: "", HOST: "", REDIS_URL: "", DATABASE_URL: "" })).toEqual(
    readConfig({}),
  )
})

describe("a wrong value is one sentence that names the setting", () => {
  const wrong: [env: Record<string, string>, sentence: string][] = [
    [{ PORT: "0" }, 'PORT must be a whole number from 1 to 65535; it is "0".'],
    [{ PORT: "http" }, 'PORT must be a whole number from 1 to 65535; it is "http".'],
    [{ PORT: "80.5" }, 'PORT must be a whole number from 1 to 65535; it is "80.5".'],
    [{ GATEWAYS: "257" }, 'GATEWAYS must be a whole number from 1 to 256; it is "257".'],
    [
      { STOP_NOTICE_SECONDS: "61" },
      'STOP_NOTICE_SECONDS must be a whole number from 0 to 60; it is "61".',
    ],
    [{ PARTITIONS: "-1" }, 'PARTITIONS must be a whole number from 1 to 1024; it is "-1".'],
    [{ REGISTRATIONS_PER_HOUR: "many" }, "REGISTRATIONS_PER_HOUR must be a whole number from 1"],
    [{ REDIS_URL: STORES.REDIS_URL }, "REDIS_URL is set without DATABASE_URL: set both"],
    [{ DATABASE_URL: STORES.DATABASE_URL }, "DATABASE_URL is set without REDIS_URL: set both"],
    [{ ...STORES, REDIS_URL: "localhost:6379" }, "REDIS_URL must be a URL that begins with redis"],
    [{ ...STORES, REDIS_URL: "redis://a:1,b:x" }, "REDIS_URL must be a URL that begins with redis"],
    [{ ...STORES, REDIS_URL: "redis://a,http://b" }, "REDIS_URL must be a URL that begins with re"],
    [{ ...STORES, DATABASE_URL: "mysql://a" }, "DATABASE_URL must be a URL that begins with postg"],
    [{ PUBLIC_URL: "example.com" }, "PUBLIC_URL must be a URL that begins with http:// or https"],
    [{ TRUSTED_PROXIES: "proxy" }, 'TRUSTED_PROXIES must list IP addresses; "proxy" is none.'],
    [{ ADMIN_EMAIL: "a@b" }, "ADMIN_EMAIL and ADMIN_PASSWORD must be set together, or neither."],
    [{ ADMIN_EMAIL: "a", ADMIN_PASSWORD: "12345678" }, "ADMIN_EMAIL must be an e-mail address."],
    [{ ADMIN_EMAIL: "a@b", ADMIN_PASSWORD: "1" }, "ADMIN_PASSWORD must have 8 characters or more."],
  ]
  for (const [env, sentence] of wrong) {
    test(sentence, () => {
      expect(() => readConfig(env)).toThrow(ConfigError)
      expect(() => readConfig(env)).toThrow(sentence)
      expect(() => readConfig(env)).toThrow(/^[^\n]+\.$/)
    })
  }
})

test("a sentence never repeats a secret", () => {
  const message = (() => {
    try {
      readConfig({ ...STORES, REDIS_URL: "http://:redis-secret@redis" })
    } catch (error) {
      return String(error)
    }
  })()
  expect(message).toContain("REDIS_URL")
  expect(message).not.toContain("secret")
})
