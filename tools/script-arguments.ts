import { readFileSync } from "node:fs";
import { parseArgs, type ParseArgsConfig } from "node:util";

/**
 * `parseArgs` for scripts whose first comment says what they take: `--help` prints it, and a word that is not known there ends
 * the script before it has done anything.
 */
export function scriptArguments<const Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  const script = process.argv[1] ?? "";
  const words = process.argv.slice(2);
  if (words.includes("--help")) {
    process.stdout.write(firstCommentOf(readFileSync(script, "utf8")));
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (thrown) {
    // What the library advises besides is for positional arguments.
    const why = (thrown instanceof Error ? thrown.message : String(thrown)).split(/\.\s/)[0];
    process.stderr.write(`${script}: ${why}; --help shows what it takes\n`);
    process.exit(2);
  }
}

/** The text of the comment that a file begins with, behind its imports at the latest. */
export function firstCommentOf(source: string): string {
  const comment = /\/\*\*\n(.*?)\n? \*\//s.exec(source)?.[1] ?? "";
  return `${comment.replace(/^ \* ?/gm, "")}\n`;
}
