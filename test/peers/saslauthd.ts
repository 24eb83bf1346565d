import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { startPeer, type RunningPeer } from "./running.ts";

/** Debian's saslauthd, which asks PAM: `pam` is what stands in the service `smtp`'s file. The socket is `at`. */
export function startSaslauthd(pam: string): Promise<RunningPeer> {
  return startPeer({
    name: "saslauthd",
    async prepare(folder) {
      const run = join(folder, "run");
      mkdirSync(run);
      chmodSync(run, 0o755);
      // /etc is its own there.
      const script = `printf '%s\\n' "$1" >/etc/pam.d/smtp; exec saslauthd -d -a pam -n 1 -m "$2"`;
      return {
        command: ["sh", "-ec", script, "saslauthd", pam, run],
        at: join(run, "mux"),
        mails: "none",
        log: "log",
      };
    },
  });
}
