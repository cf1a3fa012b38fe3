import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";

/** Read size-delimited messages (a varint length, then that many bytes) until the stream ends. */
export async function* readFrames<D extends DescMessage>(
  schema: D,
  stream: AsyncIterable<Buffer>,
): AsyncGenerator<MessageShape<D>, void, undefined> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (let frame = nextFrame(pending); frame !== undefined; frame = nextFrame(pending)) {
      yield fromBinary(schema, pending.subarray(frame.start, frame.end));
      pending = pending.subarray(frame.end);
    }
  }
  if (pending.length > 0) throw new Error(`the stream ended inside a message, after ${pending.length} bytes`);
}

function nextFrame(bytes: Buffer): { start: number; end: number } | undefined {
  let size = 0;
  for (let index = 0; index < Math.min(bytes.length, 5); index += 1) {
    const byte = bytes[index] ?? 0;
    size += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) {
      const start = index + 1;
      return bytes.length >= start + size ? { start, end: start + size } : undefined;
    }
  }
  if (bytes.length >= 5) throw new Error("the length of a message is not a varint below 2^35");
  return undefined;
}

/** One message with its length before it. */
export function frame<D extends DescMessage>(schema: D, message: MessageShape<D>): Buffer {
  const body = toBinary(schema, message);
  const head: number[] = [];
  let size = body.length;
  while (size >= 0x80) {
    head.push((size & 0x7f) | 0x80);
    size = Math.floor(size / 128);
  }
  return Buffer.concat([Buffer.from([...head, size]), body]);
}
