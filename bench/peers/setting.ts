/** What bench/run.ts tells a peer in its environment. */
export function setting(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is needed: run bench/run.ts`)
  return value
}
