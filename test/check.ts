/** `npm run check`: format, types, lint, Lua and dead code, all at once, one line each. */

type Outcome = { code: number; output: string }

const TOOLS: Record<string, readonly string[]> = {
  "biome (format, order of imports)": ["biome", "check"],
  "tsc (types)": ["tsc", "--noEmit"],
  "oxlint (lint)": ["oxlint", "--type-aware"],
  "luacheck (Lua)": ["luacheck", "--no-color", "lua"],
  "knip (dead code)": ["knip", "--no-progress"],
}

const outcomes = await Promise.all(Object.entries(TOOLS).map(runTool))
process.exit(outcomes.every(({ code }) => code === 0) ? 0 : 1)

async function runTool([name, command]: [string, readonly string[]]): Promise<Outcome> {
  const startedAt = performance.now()
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" })
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
  const code = await child.exited
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  console.log(`${code === 0 ? "ok  " : "FAIL"} ${seconds.padStart(5)} s  ${name}`)
  const output = `${stdout}${stderr}`.trimEnd()
  if (code !== 0) console.log(`${output}\n`)
  return { code, output }
}

export {}
