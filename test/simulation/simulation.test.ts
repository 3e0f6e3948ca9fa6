import { expect, setDefaultTimeout, test } from "bun:test"

setDefaultTimeout(120_000)

/** In a process of its own: its clock is that of its worlds. */
async function run(...args: string[]): Promise<{ code: number; output: string }> {
  const command = [process.execPath, `${import.meta.dir}/run.ts`, ...args]
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" })
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { code: await child.exited, output: stdout + stderr }
}

test("in 250 worlds with faults at every await nothing is lost, charged twice or invented", async () => {
  const { code, output } = await run("--seeds", "250", "--from", "1")
  const line = output.trimEnd().split("\n").slice(-2).join("\n")
  console.log(line)
  expect(output).toMatch(
    /^lost=0 duplicated=0 phantom=0 refused_charged=0 overdraft=0 unknown=(\d+) resolved=\1 detected_loss=actual_loss=\d+$/m,
  )
  expect([code, code === 0 ? "" : output.slice(-20_000)]).toEqual([0, ""])
})

test("a world is a function of its seed: run again, it does the same in the same order", async () => {
  const [first, second] = await Promise.all([run("--seed", "7"), run("--seed", "7")])
  const stepsOf = ({ output }: { output: string }) =>
    output.split("\n").filter((line) => /^ *\d+\.\d\d /.test(line))
  expect(stepsOf(first).length).toBeGreaterThan(500)
  expect(stepsOf(second)).toEqual(stepsOf(first))
})
