/**
 * A body that is sent piece by piece, as the client takes it. The first piece is made before the
 * answer begins, so that a failure there is still answered as one.
 */
export async function textStream(
  pieces: AsyncGenerator<string>,
): Promise<ReadableStream<Uint8Array>> {
  const encoder = new TextEncoder()
  let next: IteratorResult<string> | null = await pieces.next()
  return new ReadableStream({
    async pull(controller) {
      const piece = next ?? (await pieces.next())
      next = null
      if (piece.done === true) controller.close()
      else controller.enqueue(encoder.encode(piece.value))
    },
    async cancel() {
      await pieces.return(undefined)
    },
  })
}
