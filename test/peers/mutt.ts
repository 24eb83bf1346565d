import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./running.ts";

const SEPARATOR = "=====between two mails=====\n";

/** The mails in a mailbox, as mutt shows them to a program, in its order: latin1 text. Nothing is marked or changed. */
export async function readWithMutt(mutt: string, mailbox: string): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-mutt-"));
  try {
    const settings = join(folder, "muttrc");
    const taken = join(folder, "taken");
    writeFileSync(
      settings,
      [
        "set pipe_decode=no pipe_split=no wait_key=no quit=yes weed=no",
        `set pipe_sep="${SEPARATOR.replace("\n", "\\n")}"`,
        // The mails' bytes as they are, whatever the terminal.
        "set charset=iso-8859-1",
        "",
      ].join("\n"),
    );
    const keys = `<tag-pattern>~A<enter><tag-prefix><pipe-message>cat >${taken}<enter><exit>`;
    // Mutt insists on a terminal, which script(1) gives it.
    const command = `TERM=xterm exec ${mutt} -n -F ${settings} -R -f ${mailbox} -e 'push "${keys}"'`;
    const done = await run("script", ["-qec", command, "/dev/null"], "", 30_000);
    if (done.status !== 0 || !existsSync(taken)) throw new Error(`mutt (${done.status}): ${done.output}`);
    return readFileSync(taken, "latin1")
      .split(SEPARATOR)
      .filter((mail) => mail !== "");
  } finally {
    rmSync(folder, { recursive: true });
  }
}
