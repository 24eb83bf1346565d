import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { formatSize } from "./units.ts";

/** What stands at the path is nothing that is read here. `what` follows the path: "is no regular file". */
export class UnfitFile extends Error {
  override readonly name = "UnfitFile";
  readonly what: string;

  constructor(what: string) {
    super(`it ${what}`);
    this.what = what;
  }
}

/**
 * A file of which somebody else says where it is. Whatever stands there by now: nobody waits for a pipe's writer, a device is not
 * read, and of a file that grows while it is read no more than `mostBytes` are taken. Throws `UnfitFile`, or what the system says.
 */
export async function readRegularFile(path: string, mostBytes: number): Promise<Buffer> {
  const tooLarge = (): UnfitFile =>
    new UnfitFile(`is larger than ${formatSize(mostBytes).replace(/(?=[KMG]iB$)/, " ")}`);
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  const facts = await file.stat();
  // Reading a directory says so by itself.
  if (!facts.isFile() && !facts.isDirectory()) throw new UnfitFile("is no regular file");
  if (facts.size > mostBytes) throw tooLarge();
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    // The common file is read by one call, and found to end by the next.
    const piece = Buffer.alloc(Math.min(Math.max(4096, facts.size), 1 << 20));
    // oxlint-disable-next-line no-await-in-loop -- a file is read in its order
    const { bytesRead } = await file.read(piece, 0, piece.length, bytes);
    if (bytesRead === 0) return Buffer.concat(pieces);
    bytes += bytesRead;
    if (bytes > mostBytes) throw tooLarge();
    pieces.push(piece.subarray(0, bytesRead));
  }
}

/** A secret, an address or a key is a line or a page. */
const MOST_SECRET_BYTES = 64 * 1024;

/** The text of a small file: a secret, a key. As `readRegularFile`. */
export async function readSecretFile(path: string): Promise<string> {
  return (await readRegularFile(path, MOST_SECRET_BYTES)).toString("utf8");
}
