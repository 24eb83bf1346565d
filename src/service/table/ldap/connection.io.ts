import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import type { Client } from "ldapts";
import type { PoolDriver } from "../pool/pool.ts";
import { serverAddress, type ServerAddress } from "../pool/server-address.ts";
import { connectError, serverTls, type ServerTls } from "../pool/server-tls.io.ts";
import type { SystemTrust } from "../pool/system-trust.ts";
import { resultWords } from "./result-words.ts";
import type { LdapSettings } from "./settings.ts";

/** What one answer may be long; the library keeps all of it. */
const MOST_BYTES = 8 * 1024 * 1024;

export interface LdapConnection {
  readonly client: Client;
  /** Before each question: what came for the one before does not count. */
  begin(): void;
  destroy(): void;
}

/**
 * Connections that are encrypted as the settings say (RFC 4511 section 4.14 for StartTLS) and, with `bind`, logged in. We
 * open the sockets ourselves, so that a server that never answers can be left, and one that never ends is.
 */
export async function ldapDriver(
  settings: LdapSettings,
  bind: { readonly dn: string; readonly password: string } | undefined,
  trust: SystemTrust,
): Promise<PoolDriver<LdapConnection>> {
  const ldapts = await import("ldapts");
  return {
    async open(host, signal, onGone) {
      const address = serverAddress(host);
      const tls = await serverTls(settings, address, trust);
      signal.throwIfAborted();
      const isImplicit = address.kind === "tcp" && address.scheme === "ldaps";
      const sockets: Socket[] = [];
      let bytes = 0;
      const watch = (socket: Socket): void => {
        sockets.push(socket);
        socket.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MOST_BYTES) destroy();
        });
        socket.on("close", () => onGone("the server closed the connection"));
      };
      const destroy = (): void => {
        for (const socket of sockets) socket.destroy();
      };
      signal.addEventListener("abort", destroy, { once: true });
      try {
        const socket = await openSocket(address, isImplicit ? (tls ?? {}) : undefined, watch);
        const client = new ldapts.Client({
          url: "ldap://localhost",
          createConnection: () => socket,
          createSecureConnection: ((options: ConnectionOptions) => {
            const secure = connectTls(options);
            watch(secure);
            // The library takes its own listeners off when the handshake fails; a later error must not be unheard.
            setImmediate(() => secure.on("error", () => {}));
            return secure;
          }) as typeof connectTls,
        });
        if (tls !== undefined && !isImplicit) await client.startTLS({ ...tls, ...hostFor(tls, address) });
        if (bind !== undefined) await client.bind(bind.dn, bind.password);
        return { client, destroy, begin: () => void (bytes = 0) };
      } catch (thrown) {
        destroy();
        throw bind !== undefined && thrown instanceof ldapts.InvalidCredentialsError
          ? new Error(`the server refuses the password for ${bind.dn}`, { cause: thrown })
          : inWords(connectError(thrown));
      } finally {
        signal.removeEventListener("abort", destroy);
      }
    },
    close: (connection) => connection.destroy(),
    // 51 to 53: busy, unavailable, unwilling; over such a connection nothing better is to be had soon.
    isAnswer: (error) => error instanceof ldapts.ResultCodeError && ![51, 52].includes(error.code),
  };
}

/** The library's own words are a number; the error stays what it is. */
export function inWords(error: unknown): unknown {
  if (error instanceof Error && "code" in error && typeof error.code === "number")
    error.message = resultWords(error.code, error.message);
  return error;
}

/** For an address there is no name to compare, so the address itself must be in the certificate. */
function hostFor(tls: ServerTls, address: ServerAddress): { readonly host?: string } {
  return tls.servername === undefined && address.kind === "tcp" ? { host: address.host } : {};
}

function openSocket(
  address: ServerAddress,
  implicit: Partial<ServerTls> | undefined,
  watch: (socket: Socket) => void,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const place =
      address.kind === "unix"
        ? { path: address.path }
        : { host: address.host, port: address.port ?? (implicit === undefined ? 389 : 636) };
    const socket = implicit === undefined ? connectSocket(place) : connectTls({ ...place, ...implicit });
    watch(socket);
    socket.setKeepAlive(true, 30_000);
    socket.setNoDelay(true);
    socket.once("error", reject);
    socket.once(implicit === undefined ? "connect" : "secureConnect", () => resolve(socket));
    socket.once("close", () => reject(new Error("the server closed the connection")));
  });
}
