import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { freePort } from "../server.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/** The test file that all virus scanners agree on, in two halves, so that none of them finds it here. */
export const EICAR = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].join("");

/** The signature's name, as our database has it; a database that nobody signed adds the rest. */
export const EICAR_NAME = "Posthorn.Eicar.Test.UNOFFICIAL";

/**
 * Debian's clamd with a database of one signature, EICAR's, and nothing from the network. At a port of loopback, or at a
 * socket's path. `maxStreamBytes`: larger mail is answered with "size limit exceeded".
 */
export function startClamd(
  options: { readonly listens?: "port" | "path"; readonly maxStreamBytes?: number } = {},
): Promise<RunningPeer> {
  return startPeer({
    name: "clamav",
    async prepare(folder) {
      const database = join(folder, "database");
      mkdirSync(database);
      chmodSync(database, 0o755);
      // As part of whatever text it stands in, and as the attachment that it alone is.
      writeFileSync(join(database, "test.ndb"), `Posthorn.Eicar.Test:0:*:${Buffer.from(EICAR).toString("hex")}\n`);
      const sum = createHash("md5").update(EICAR).digest("hex");
      writeFileSync(join(database, "test.hdb"), `${sum}:${EICAR.length}:Posthorn.Eicar.Test\n`);
      const port = await freePort();
      const path = join(folder, "clamd.ctl");
      const at = options.listens === "path" ? path : port;
      writeFileSync(
        join(folder, "clamd.conf"),
        [
          "Foreground yes",
          `DatabaseDirectory ${database}`,
          `LogFile ${join(folder, "log")}`,
          "LogClean yes",
          "User root",
          at === path ? `LocalSocket ${path}\nLocalSocketMode 666` : `TCPSocket ${port}\nTCPAddr 127.0.0.1`,
          `StreamMaxLength ${options.maxStreamBytes ?? 25_000_000}`,
          `TemporaryDirectory ${folder}`,
          "MaxThreads 4",
          "",
        ].join("\n"),
      );
      return { command: ["clamd", "--config-file", join(folder, "clamd.conf")], at, mails: "mail/*", log: "log" };
    },
  });
}
