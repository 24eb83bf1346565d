import { parseDaemonArguments } from "./admin/cli/daemon-arguments.ts";
import { daemonHelp } from "./admin/cli/help.ts";
import { runPosthorn } from "./admin/cli/posthorn.ts";
import { systemWorld } from "./admin/cli/world.io.ts";
import { cliParts } from "./process/cli-world.ts";
import { checkOnly, runDaemon } from "./process/daemon.ts";
import { version } from "./process/version.ts";

const EX_USAGE = 64;

/** Picks the program: `bin/posthorn.js` and `bin/posthornd.js` call this with their name. */
export async function main(program: string, argv: readonly string[]): Promise<void> {
  const status = program === "posthornd" ? await posthornd(argv) : await runPosthorn(argv, systemWorld(cliParts));
  // What was written to a pipe is still on its way; ending at once would cut it off.
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write("", done))));
  process.exit(status);
}

async function posthornd(argv: readonly string[]): Promise<number> {
  const out = (text: string): void => void process.stdout.write(text);
  const err = (text: string): void => void process.stderr.write(text);
  const parsed = parseDaemonArguments(argv);
  if (!parsed.ok) {
    err(parsed.problem);
    return EX_USAGE;
  }
  const wants = parsed.value;
  switch (wants.do) {
    case "help":
      out(daemonHelp());
      return 0;
    case "version":
      out(`posthornd ${version}\n`);
      return 0;
    case "check":
      return checkOnly({ file: wants.settingsFile, out, err });
    case "run":
      return runDaemon({ ...wants, file: wants.settingsFile, argv, out, err });
  }
}
