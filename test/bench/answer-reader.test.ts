import { expect, test } from "bun:test"
import { createAnswerReader } from "../../bench/generator/answer-reader.ts"

/** Feeds the text in two pieces, cut at each place in turn; answers what each way came to. */
function readings(text: string) {
  const bytes = Buffer.from(text, "latin1")
  return Array.from({ length: bytes.length }, (_, at) => {
    const reader = createAnswerReader()
    if (at === 0) return reader.push(bytes)
    const first = reader.push(bytes.subarray(0, at))
    return first.state === "more" ? reader.push(bytes.subarray(at)) : first
  })
}

function expectAnswer(text: string, expected: { status: number; body: string; isLast?: boolean }) {
  const { status, body, isLast = false } = expected
  const found = readings(text)
  expect(found.length).toBeGreaterThan(0)
  for (const reading of found) {
    expect(reading.state).toBe("answer")
    if (reading.state !== "answer") continue
    const { answer } = reading
    expect([answer.status, answer.body.toString(), answer.isLast]).toEqual([status, body, isLast])
  }
}

test("an answer is put together wherever it was cut", () => {
  expectAnswer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", { status: 200, body: "hello" })
  expectAnswer("HTTP/1.1 402 \r\nContent-Length:0\r\n\r\n", { status: 402, body: "" })
  expectAnswer("HTTP/1.1 204 No Content\r\n\r\n", { status: 204, body: "" })
})

test("chunks, with and without trailers", () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
  expectAnswer(`${head}5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n`, {
    status: 200,
    body: "hello world",
  })
  expectAnswer(`${head}A\r\n0123456789\r\n0\r\nx-after: 1\r\n\r\n`, {
    status: 200,
    body: "0123456789",
  })
})

test("an interim answer is passed over, and a server's wish to close is heard", () => {
  expectAnswer(
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    { status: 200, body: "ok", isLast: true },
  )
})

test("an answer without a length ends with its connection, and no other does", () => {
  const open = createAnswerReader()
  expect(open.push(Buffer.from("HTTP/1.0 200 OK\r\n\r\nhel")).state).toBe("more")
  expect(open.push(Buffer.from("lo")).state).toBe("more")
  const ended = open.end()
  expect(ended.state === "answer" && ended.answer.body.toString()).toBe("hello")

  const cut = createAnswerReader()
  expect(cut.push(Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel")).state).toBe(
    "more",
  )
  expect(cut.end().state).toBe("broken")
})

test("what is no answer, or more than one, is broken", () => {
  for (const text of [
    "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK",
    "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  ]) {
    expect([text, createAnswerReader().push(Buffer.from(text)).state]).toEqual([text, "broken"])
  }
})
