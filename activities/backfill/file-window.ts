import type { FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 256 * 1024;
const LF = 0x0a;

/** The bytes of a file from a place on, as far as they have been read: what a reader of rows looks at. */
export class FileWindow {
  /** Not yet passed by. */
  bytes: Buffer = Buffer.alloc(0);
  ended = false;

  constructor(
    private readonly file: FileHandle,
    /** Of `bytes[0]` in the file. */
    public at: number,
  ) {}

  /** Reads on, and answers what is new; empty at the end of the file. */
  async more(): Promise<Buffer> {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await this.file.read(chunk, 0, CHUNK_BYTES, this.at + this.bytes.length);
    const read = chunk.subarray(0, bytesRead);
    this.ended = bytesRead === 0;
    this.bytes = this.bytes.length === 0 ? read : Buffer.concat([this.bytes, read]);
    return read;
  }

  pass(bytes: number): void {
    this.bytes = this.bytes.subarray(bytes);
    this.at += bytes;
  }

  /**
   * Bytes up to and with the next line break, or to the end of the file. A line longer than `bytesMax` is passed by as it
   * is read, and not kept: then null, and the window is behind it.
   */
  async line(bytesMax: number): Promise<number | null> {
    let looked = 0;
    let isTooLong = false;
    for (;;) {
      const found = this.bytes.indexOf(LF, looked);
      if (found >= 0 || this.ended) {
        const length = found >= 0 ? found + 1 : this.bytes.length;
        if (!isTooLong) return length;
        this.pass(length);
        return null;
      }
      looked = this.bytes.length;
      if (looked > bytesMax) {
        isTooLong = true;
        this.pass(looked);
        looked = 0;
      }
      await this.more();
    }
  }
}

export function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) lines += 1;
  return lines;
}

/** Line breaks that stand before anything else: blank lines. */
export function leadingBreaks(bytes: Buffer): number {
  let length = 0;
  while (bytes[length] === LF || bytes[length] === 0x0d) length += 1;
  return length;
}
