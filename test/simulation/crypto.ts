/** `node:crypto` as `src/ids.ts` finds it: what it calls random is what the seed says. */
export * from "node:crypto"
export { randomFillSync } from "./globals.ts"
