import { readRegularFile, UnfitFile } from "../../../foundation/read-file.io.ts";

/** All the authorities of the world come to less than half a megabyte. */
const MOST_BYTES = 8 * 1024 * 1024;

/**
 * A file of authorities, for Node's `ca`: it takes an empty text for none given, and then believes everybody whom the whole
 * world believes. Throws a text for people, or what the system says.
 */
export async function readAuthorities(file: string): Promise<string> {
  const text = (await bytesOf(file)).toString("utf8");
  if (!/-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(text))
    throw new Error(`${file} holds no certificate in PEM form`);
  return text;
}

async function bytesOf(file: string): Promise<Buffer> {
  try {
    return await readRegularFile(file, MOST_BYTES);
  } catch (thrown) {
    throw thrown instanceof UnfitFile ? new Error(`${file} ${thrown.what}`, { cause: thrown }) : thrown;
  }
}
