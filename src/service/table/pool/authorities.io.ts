import { readFile } from "node:fs/promises";

/**
 * A file of authorities, for Node's `ca`: it takes an empty text for none given, and then believes everybody whom the whole
 * world believes. Throws a text for people, or what the system says.
 */
export async function readAuthorities(file: string): Promise<string> {
  const text = await readFile(file, "utf8");
  if (!/-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(text))
    throw new Error(`${file} holds no certificate in PEM form`);
  return text;
}
