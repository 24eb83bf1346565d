import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";

/** Where Debian's packages put programs; servers are often outside a user's PATH. */
const DIRECTORIES = [
  "/usr/bin",
  "/usr/sbin",
  "/bin",
  "/sbin",
  "/usr/libexec",
  "/usr/lib/dovecot",
  "/usr/lib/postfix/sbin",
];

/**
 * The path of a program that a test needs as a peer or tool, from PATH or from Debian packages unpacked below the
 * directory in POSTHORN_PEERS. When it is missing the test is skipped, by its name, and undefined returned; with
 * POSTHORN_REQUIRE_PEERS=1 (continuous integration) that is a failure instead.
 */
export function requirePeer(name: string, t: TestContext): string | undefined {
  const found = findPeer(name);
  if (found !== undefined) return found;
  if (process.env["POSTHORN_REQUIRE_PEERS"] === "1")
    throw new Error(`${name} is not installed, and POSTHORN_REQUIRE_PEERS=1 asks for it`);
  t.skip(`${name} is not installed`);
  return undefined;
}

/** The path of such a program, wherever it may be; undefined when it is missing. */
export function findPeer(name: string): string | undefined {
  const unpacked = process.env["POSTHORN_PEERS"];
  const candidates = [
    ...(unpacked === undefined ? [] : DIRECTORIES.map((directory) => join(unpacked, directory))),
    ...(process.env["PATH"] ?? "").split(delimiter).filter((directory) => directory !== ""),
    ...DIRECTORIES,
  ].map((directory) => join(directory, name));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
