import { readFileSync, statSync } from "node:fs";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { parseDnsServer, serversOfResolvConf, type KnownServers } from "./servers.ts";

/** The file is looked at this often at most, and only when there is a question. */
const LOOK_EVERY_MS = 1000;

/**
 * The servers that the system names in `path` (resolv.conf(5)), anew when the file has changed: DHCP and VPNs write it while we run.
 * A file that is not there, or names none, means the machine's own; one that cannot be read means none, with the reason.
 */
export function systemServers(clock: Clock, path: string): () => KnownServers {
  let lookedAt = Number.NEGATIVE_INFINITY;
  let version: string | undefined;
  let known: KnownServers = { servers: [] };
  return () => {
    const now = clock.monotonicMs();
    if (now - lookedAt < LOOK_EVERY_MS) return known;
    lookedAt = now;
    try {
      // Looked at before it is read: what is written in between is another version the next time.
      const found = versionOf(path);
      if (found === version) return known;
      known = serversIn(found === "absent" ? "" : readFileSync(path, "utf8"), path);
      version = found;
    } catch (error) {
      version = undefined;
      known = {
        servers: [],
        says: `${path} cannot be read (${messageOf(error)}): let the server's user read it, or set dns.servers`,
      };
    }
    return known;
  };
}

function serversIn(text: string, path: string): KnownServers {
  const servers = serversOfResolvConf(text);
  if (servers.length > 0) return { servers };
  const own = parseDnsServer("127.0.0.1");
  return {
    servers: own === undefined ? [] : [own],
    says: `${path} names no DNS server, so this machine is asked: name one there or in dns.servers`,
  };
}

function versionOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? "absent" : [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(" ");
}
