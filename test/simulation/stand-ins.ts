import { plugin } from "bun"
import { Redis } from "./redis/client.ts"

/**
 * Puts the stand-ins in the place of what product code imports, before it is imported: no product code
 * knows of it. Of `db/queries`, each function calls the statement of its own name.
 */

const HERE = Bun.fileURLToPath(new URL(".", import.meta.url))

export function raiseStandIns(): void {
  plugin({
    name: "stand-ins",
    setup(build) {
      build.module("ioredis", () => ({ loader: "object", exports: { Redis } }))
      build.onLoad({ filter: /\/db\/connection\.ts$/ }, () => ({
        loader: "ts",
        contents: `export { connectSql } from "${HERE}postgres/client.ts"`,
      }))
      build.onLoad({ filter: /\/db\/queries\/[\w-]+\.ts$/ }, async ({ path }) => ({
        loader: "ts",
        contents: queriesOf(await Bun.file(path).text()),
      }))
      build.onLoad({ filter: /\/src\/ids\.ts$/ }, async ({ path }) => ({
        loader: "ts",
        contents: await replaced(path, '"node:crypto"', `"${HERE}crypto.ts"`),
      }))
      build.onLoad({ filter: /\/src\/ledger\/revokes\.ts$/ }, async ({ path }) => ({
        loader: "ts",
        contents: await replaced(path, '"node:fs/promises"', `"${HERE}disk.ts"`),
      }))
    },
  })
}

function queriesOf(text: string): string {
  const names = [...text.matchAll(/^export (?:async )?function (\w+)/gm)].map(([, name]) => name)
  return names
    .map((name) => `export const ${name} = (sql, ...args) => sql.run("${name}", args)`)
    .join("\n")
}

async function replaced(path: string, from: string, to: string): Promise<string> {
  const text = await Bun.file(path).text()
  if (!text.includes(from)) throw new Error(`${path} does not import ${from}`)
  return text.replace(from, to)
}
