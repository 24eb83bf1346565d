import { checkOnly, runDaemon } from "./process/daemon.ts";
import { version } from "./process/version.ts";

/** Picks the program: `bin/posthorn.js` and `bin/posthornd.js` call this with their name. */
export async function main(program: string, argv: readonly string[]): Promise<void> {
  const out = (text: string): void => void process.stdout.write(text);
  const err = (text: string): void => void process.stderr.write(text);
  if (program === "posthornd") {
    const file = argv[argv.indexOf("-f") + 1];
    const flags = argv.filter((a) => a.startsWith("-")).join("");
    const options = { file: argv.includes("-f") ? file : undefined, isForeground: flags.includes("d"), isVerbose: flags.includes("v"), argv, out, err };
    process.exitCode = flags.includes("n") ? await checkOnly(options) : await runDaemon(options);
    process.exit();
  }
  err(version);
}
