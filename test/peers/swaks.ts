import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dotStuffed, type Content } from "./contents.ts";
import { run } from "./running.ts";

export interface SwaksMail {
  /** A port on 127.0.0.1, or the path of a unix socket. */
  readonly at: number | string;
  readonly from: string;
  readonly to: readonly string[];
  /** Sent byte by byte. Without it: swaks's own. */
  readonly content?: Content | undefined;
  /** `--tls`, `--protocol LMTP` and so on. */
  readonly options?: readonly string[];
}

/** Hands one mail over with swaks; gives its exit status (0: everything was accepted) and the dialogue. */
export async function swaks(program: string, mail: SwaksMail): Promise<{ status: number; output: string }> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-swaks-"));
  try {
    const file = join(folder, "data");
    // swaks ends the last line itself.
    if (mail.content !== undefined) writeFileSync(file, dotStuffed(mail.content.bytes));
    return await run(program, [
      ...(typeof mail.at === "number" ? ["--server", "127.0.0.1", "--port", String(mail.at)] : ["--socket", mail.at]),
      "--ehlo",
      "swaks.test",
      "--from",
      mail.from === "" ? "<>" : mail.from,
      "--to",
      mail.to.join(","),
      ...(mail.content === undefined ? [] : ["--data", `@${file}`, "--no-data-fixup"]),
      ...(mail.options ?? []),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
