import { setTimeout as wait } from "node:timers/promises";
import { exitAtOnce } from "./foundation/ffi/exit.io.ts";
import type { DaemonEnd } from "./process/daemon.ts";

const EX_USAGE = 64;
/** How long the last lines may take to leave. */
const LAST_WORDS_MS = 2000;

/**
 * Picks the program: `bin/posthorn.js` and `bin/posthornd.js` call this with their name. Each is loaded only when it is the
 * one: the whole server would be a quarter of what the client needs to start.
 */
export async function main(program: string, argv: readonly string[]): Promise<void> {
  const { status, isStuck } = program === "posthornd" ? await posthornd(argv) : await posthorn(argv);
  // What was written to a pipe is still on its way, and ending at once would cut it off. A person's pager may take its
  // time over it; a server's log that nobody reads does not keep the server.
  const drained = [process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write("", done)));
  await Promise.race([Promise.all(drained), ...(program === "posthornd" ? [wait(LAST_WORDS_MS)] : [])]);
  if (isStuck) exitAtOnce(status);
  process.exit(status);
}

async function posthorn(argv: readonly string[]): Promise<DaemonEnd> {
  const [{ runPosthorn }, { systemWorld }, { cliParts }] = await Promise.all([
    import("./admin/cli/posthorn.ts"),
    import("./admin/cli/world.io.ts"),
    import("./process/cli-world.ts"),
  ]);
  return { status: await runPosthorn(argv, systemWorld(cliParts)), isStuck: false };
}

async function posthornd(argv: readonly string[]): Promise<DaemonEnd> {
  const [{ parseDaemonArguments }, { heard }, { daemonHelp }, { outputTo }, { checkOnly, runDaemon }, { version }] =
    await Promise.all([
      import("./admin/cli/daemon-arguments.ts"),
      import("./admin/cli/heard.ts"),
      import("./admin/cli/help.ts"),
      import("./admin/cli/output.io.ts"),
      import("./process/daemon.ts"),
      import("./process/version.ts"),
    ]);
  const ended = (status: number): DaemonEnd => ({ status, isStuck: false });
  const streams = { stdout: outputTo(process.stdout), stderr: outputTo(process.stderr) };
  const out = (text: string): void => streams.stdout.write(text);
  const err = (text: string): void => streams.stderr.write(text);
  const says = async (text: () => string): Promise<DaemonEnd> => {
    const run = async (): Promise<number> => {
      out(text());
      return 0;
    };
    return ended(await heard("posthornd", streams, run));
  };
  const parsed = parseDaemonArguments(argv);
  if (!parsed.ok) {
    err(parsed.problem);
    return ended(EX_USAGE);
  }
  const wants = parsed.value;
  switch (wants.do) {
    case "help":
      return says(daemonHelp);
    case "version":
      return says(() => `posthornd ${version}\n`);
    case "check": {
      const check = (): Promise<number> => checkOnly({ file: wants.settingsFile, out, err });
      return ended(await heard("posthornd", streams, check));
    }
    case "run":
      return runDaemon({ ...wants, file: wants.settingsFile, argv, out, err });
  }
}
