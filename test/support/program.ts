import type { createPlaces } from "../embedded/places.ts"
import { eventually } from "./eventually.ts"

const MAIN = Bun.fileURLToPath(new URL("../../src/main.ts", import.meta.url))

/** The whole program, as `npm start` runs it, with its data in a folder of this test. */
export function runProgram(
  places: ReturnType<typeof createPlaces>,
  env: Record<string, string>,
  words: string[] = [],
) {
  const { REDIS_URL: _redis, DATABASE_URL: _database, ...inherited } = process.env
  const child = places.add(
    Bun.spawn([process.execPath, MAIN, ...words], {
      env: { ...inherited, ...env },
      stdout: "pipe",
      stderr: "pipe",
    }),
  )
  let output = ""
  const follow = async (stream: ReadableStream<Uint8Array>) => {
    for await (const bytes of stream) output += new TextDecoder().decode(bytes)
  }
  const requireUp = () => {
    if (!output.includes("Ctrl-C stops it.")) throw new Error(`it is not up:\n${output}`)
  }
  const followed = Promise.all([follow(child.stdout), follow(child.stderr)])
  return {
    child,
    output: () => output,
    ended: async () => ({ code: (await followed, await child.exited), output }),
    isUp: () => eventually(requireUp, { timeoutMs: 25_000 }),
  }
}
