import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../server.ts";
import { startPostfix } from "./postfix.ts";
import { startPeer, type RunningPeer } from "./running.ts";

export interface GreylistingPostfix extends AsyncDisposable {
  readonly port: number;
  /** RCPT commands that it answered with "greylisted", and those it took. */
  rcpts(): { readonly greylisted: number; readonly taken: number };
  /** Connections that it had. */
  connections(): number;
  mails(): readonly string[];
  log(): string;
}

/**
 * Debian's postfix with Debian's postgrey asked at RCPT: a triplet of client network, sender and recipient is refused until
 * it comes again `delayS` seconds after the first time. `admitsClientAfter`: so many that came again, and their client is
 * let in for good; 0: never.
 */
export async function startGreylistingPostfix(options: {
  readonly delayS: number;
  readonly admitsClientAfter: number;
  /** `%s` is the time left, in seconds. */
  readonly text?: string;
}): Promise<GreylistingPostfix> {
  const grey = await startPostgrey(options);
  const postfix = await startPostfix({
    settings: [
      `smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:${grey.at}, permit`,
      // Postfix makes clients wait that are refused often; here the refusals are the matter.
      "smtpd_error_sleep_time = 0",
      "smtpd_soft_error_limit = 100000",
      "smtpd_hard_error_limit = 100000",
    ],
  });
  const count = (pattern: RegExp): number => postfix.log().match(pattern)?.length ?? 0;
  return {
    port: Number(postfix.at),
    rcpts: () => ({
      greylisted:
        count(/NOQUEUE: reject: RCPT from .*: 4\d\d .*[Gg]reylisted/g) +
        count(/[0-9A-F]{6,}: reject: RCPT from .*: 4\d\d .*[Gg]reylisted/g),
      taken: count(/postfix\/virtual\[\d+\]: .*status=sent/g),
    }),
    connections: () => count(/postfix\/smtpd\[\d+\]: connect from/g),
    mails: () => postfix.mails(),
    log: () => postfix.log(),
    async [Symbol.asyncDispose]() {
      await postfix[Symbol.asyncDispose]();
      await grey[Symbol.asyncDispose]();
    },
  };
}

/** Debian's postgrey alone: a policy server at 127.0.0.1:`at`. */
export function startPostgrey(options: {
  readonly delayS: number;
  readonly admitsClientAfter: number;
  readonly text?: string;
}): Promise<RunningPeer> {
  return startPeer({
    name: "postgrey",
    async prepare(folder) {
      const port = await freePort();
      mkdirSync(join(folder, "db"));
      chmodSync(join(folder, "db"), 0o777);
      return {
        command: [
          "postgrey",
          `--inet=127.0.0.1:${port}`,
          `--dbdir=${join(folder, "db")}`,
          "--user=postgrey",
          "--group=postgrey",
          `--delay=${options.delayS}`,
          `--auto-whitelist-clients=${options.admitsClientAfter}`,
          "--lookup-by-host",
          `--greylist-text=${options.text ?? "Greylisted"}`,
        ],
        at: port,
        mails: "mail/*",
        log: "none",
      };
    },
  });
}
