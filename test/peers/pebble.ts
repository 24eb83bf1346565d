import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../server.ts";
import { makeCertificate } from "./certificate.ts";
import { startPeer, type RunningPeer } from "./running.ts";

/** Debian's pebble: an ACME authority for tests, which asks its questions at the ports given. */
export interface Pebble extends AsyncDisposable {
  readonly directory: string;
  /** A file with the authority that its own server's certificate is verified with. */
  readonly caFile: string;
  log(): string;
}

export interface PebbleOptions {
  /** Where names are looked up. */
  readonly dns: string;
  readonly httpPort?: number;
  readonly tlsPort?: number;
  /** Seconds that certificates are good for; five years when left out. */
  readonly validSeconds?: number;
  readonly refuses?: readonly string[];
  /** Keys of external account bindings, by their identifiers; with any, nobody gets an account without one. */
  readonly bindings?: Readonly<Record<string, string>>;
}

/** Every seventh nonce is refused, so that orders meet RFC 8555 section 6.5. */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  let caFile = "";
  const port = await freePort();
  const managementPort = await freePort();
  const peer: RunningPeer = await startPeer({
    name: "pebble",
    async prepare(folder) {
      const { certificate, key } = await makeCertificate(folder);
      caFile = certificate;
      const file = join(folder, "pebble.json");
      const pebble = {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${managementPort}`,
        certificate,
        privateKey: key,
        httpPort: options.httpPort ?? 1,
        tlsPort: options.tlsPort ?? 1,
        ocspResponderURL: "",
        externalAccountBindingRequired: options.bindings !== undefined,
        externalAccountMACKeys: options.bindings ?? {},
        domainBlocklist: options.refuses ?? [],
        ...(options.validSeconds === undefined ? {} : { certificateValidityPeriod: options.validSeconds }),
      };
      writeFileSync(file, JSON.stringify({ pebble }));
      const surroundings = ["PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=15", "PEBBLE_AUTHZREUSE=0"];
      return {
        command: ["env", ...surroundings, "pebble", "-strict", "-config", file, "-dnsserver", options.dns],
        at: port,
        mails: "mail/*",
        log: "none",
      };
    },
  });
  return {
    directory: `https://127.0.0.1:${port}/dir`,
    caFile,
    log: () => peer.log(),
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}
