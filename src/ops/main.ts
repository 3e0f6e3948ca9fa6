import { runOps } from "./run.ts"

/** `npm run ops -- COMMAND`: see README.md. */
process.exit(
  await runOps(process.argv.slice(2), {
    env: process.env,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  }),
)
