import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/** The text that every installation of SpamAssassin gives 1000 points, in two halves, so that this file has none. */
export const GTUBE = ["XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"].join("");

/** Debian's spamd, with local tests only, at a port of loopback. `preferences`: lines as in local.cf. */
export function startSpamd(options: { readonly preferences?: readonly string[] } = {}): Promise<RunningPeer> {
  return startPeer({
    name: "spamassassin",
    async prepare(folder) {
      const port = await freePort();
      const lines = ["use_bayes 0", "skip_rbl_checks 1", "dns_available no", ...(options.preferences ?? [])];
      return {
        command: [
          "spamd",
          "--local",
          "--nouser-config",
          ...lines.map((line) => `--cf=${line}`),
          "--listen=127.0.0.1",
          `--port=${port}`,
          "--max-children=2",
          "--min-children=2",
          "--username=debian-spamd",
          `--helper-home-dir=${folder}`,
          "--syslog=stderr",
        ],
        at: port,
        mails: "mail/*",
        log: "none",
      };
    },
  });
}
