import { expect, test } from "bun:test"
import { passOnRedacted, redact } from "../src/redact.ts"

test("the query of a URL is left out, whatever stands around it", () => {
  expect(redact(' path: "http://127.0.0.1:9/base/x?key=secret&b=1",')).toBe(
    ' path: "http://127.0.0.1:9/base/x?…",',
  )
  expect(redact("https://a.example/?s GET https://b.example/c?t#u end")).toBe(
    "https://a.example/?… GET https://b.example/c?… end",
  )
  expect(redact("why? http://a.example/b")).toBe("why? http://a.example/b")
})

test("what comes in pieces is passed on in lines, the last one without its end too", async () => {
  const encoder = new TextEncoder()
  const pieces = ["one\nhttp://a/b?sec", "ret\n元", "\nlast http://c/?d"]
  const output = new ReadableStream<Uint8Array>({
    start(controller) {
      const bytes = encoder.encode(pieces.join(""))
      // A character may be cut in two.
      for (let at = 0; at < bytes.length; at += 5) controller.enqueue(bytes.subarray(at, at + 5))
      controller.close()
    },
  })
  const written: string[] = []
  await passOnRedacted(output, (text) => void written.push(text))
  expect(written).toEqual(["one\n", "http://a/b?…\n", "元\n", "last http://c/?…"])
})
