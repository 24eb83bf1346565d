import { isIPv6 } from "node:net";
import { chmodSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import type { ListenerSettings } from "../../mail/connection/settings.ts";
import { placeOf } from "../settings/listener-place.ts";

/**
 * Listening sockets that the supervisor binds and never accepts from: their descriptors are inherited by the ingress
 * processes, which listen on them (`listen({ fd })`). Node itself can't bind without also accepting, so the four
 * system calls are made through koffi. Under systemd the sockets come bound (`LISTEN_FDS`) and none of this is needed.
 */
export interface BoundSocket {
  readonly fd: number;
  /** Where it listens; of one that systemd has bound, where the settings say that it does. */
  readonly place: BindPlace;
  readonly close: () => void;
}

export type BindPlace =
  | InternetPlace
  | { readonly path: string; readonly mode: number; readonly backlog?: number | undefined };

interface InternetPlace {
  /** Left out: all of this machine's, IPv6 and IPv4. */
  readonly address?: string | undefined;
  readonly port: number;
  readonly backlog?: number | undefined;
}

/** A socket of ours that is to go, and goes on until those that come are there. */
export interface LeavingSocket {
  readonly fd: number;
  readonly place: BindPlace | undefined;
}

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const F_DUPFD_CLOEXEC = 1030;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const BACKLOG = 1024;

interface Library {
  socket(family: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, length: number): number;
  bind(fd: number, address: Buffer, length: number): number;
  listen(fd: number, backlog: number): number;
  close(fd: number): number;
  duplicate(fd: number): number;
  errno(): number;
}

let loaded: Library | undefined;

function library(): Library {
  if (loaded !== undefined) return loaded;
  try {
    // koffi has a CommonJS face only; it is loaded here, on demand, because only a split server needs it.
    const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
    const libc = koffi.load(null);
    const fcntl: (fd: number, operation: number, type: string, value: number) => number =
      libc.func("int fcntl(int, int, ...)");
    loaded = {
      socket: libc.func("int socket(int, int, int)"),
      setsockopt: libc.func("int setsockopt(int, int, int, const void *, uint32_t)"),
      bind: libc.func("int bind(int, const void *, uint32_t)"),
      listen: libc.func("int listen(int, int)"),
      close: libc.func("int close(int)"),
      duplicate: (fd) => fcntl(fd, F_DUPFD_CLOEXEC, "int", 0),
      errno: () => koffi.errno(),
    };
    return loaded;
  } catch (cause) {
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `cannot bind sockets for worker processes: koffi did not load (${messageOf(cause)})`,
      advice: "let systemd hand over the sockets (posthorn.socket), or set server.layout to single",
      cause,
    });
  }
}

/**
 * Binds and starts listening without accepting. Throws `PORT_UNAVAILABLE` saying who may help. `leaving`: sockets of ours that
 * go when this one serves: they are no obstacle, and take connections until then.
 */
export function bindSocket(name: string, place: BindPlace, leaving: readonly LeavingSocket[] = []): BoundSocket {
  if ("path" in place) return bindTo(name, place.path, AF_UNIX, unixAddress(place.path), place);
  const inTheWay = leaving.filter((socket) => socket.place !== undefined && overlap(place, socket.place));
  const same = inTheWay.find((socket) => isSameAddress(socket.place, place));
  if (same !== undefined) return duplicateOf(same, name, place);
  return sharingPort(inTheWay, (isShared) => {
    const { address, port } = place;
    if (address === undefined) {
      // A machine without IPv6 says so when the socket is made.
      return hasIpv6()
        ? bindTo(name, `*:${port}`, AF_INET6, inetAddress("::", port), place, isShared)
        : bindTo(name, `*:${port}`, AF_INET, inetAddress("0.0.0.0", port), place, isShared);
    }
    const family = isIPv6(address) ? AF_INET6 : AF_INET;
    const where = family === AF_INET6 ? `[${address}]:${port}` : `${address}:${port}`;
    return bindTo(name, where, family, inetAddress(address, port), place, isShared);
  });
}

/** Whoever listens in a process that binds for itself; undefined where it does not just now, or on a path. */
export interface Listening {
  readonly socket: LeavingSocket | undefined;
}

/**
 * For a process that binds for itself: the descriptor of a port where only sockets that are `going` are in the way. Undefined
 * where none is, and where one that is `staying` is, too: that is refused, as at a start.
 */
export function boundInPlaceOf(
  wanted: {
    readonly name: string;
    readonly address?: string | undefined;
    readonly port?: number | undefined;
    readonly backlog?: number | undefined;
  },
  going: readonly Listening[],
  staying: readonly Listening[],
): number | undefined {
  const { name, address, port, backlog } = wanted;
  if (port === undefined) return undefined;
  const place = { address, port, backlog };
  const inTheWay = (ours: typeof going): readonly LeavingSocket[] =>
    ours.flatMap(({ socket }) => (socket?.place !== undefined && overlap(place, socket.place) ? [socket] : []));
  const leaving = inTheWay(going);
  if (leaving.length === 0 || inTheWay(staying).length > 0) return undefined;
  return bindSocket(name, place, leaving).fd;
}

/** Where a listener of the settings is bound. */
export function bindPlaceOf({ path, pathMode, address, port, backlog }: ListenerSettings): BindPlace {
  if (path !== undefined) return { path, mode: Number.parseInt(pathMode, 8), backlog };
  return { address, port: port ?? 0, backlog };
}

/**
 * What other settings want of sockets that stay: who may connect by a path, and how many may wait. Those that systemd has
 * bound are as it says. Gives back what could not be done.
 */
export function adjustSockets(
  before: readonly ListenerSettings[],
  next: readonly ListenerSettings[],
  isInherited: (listener: string) => boolean,
  socketOf: (listener: ListenerSettings) => { readonly fd: number } | undefined,
): readonly string[] {
  const problems: string[] = [];
  for (const listener of next) {
    const old = before.find((one) => placeOf(one) === placeOf(listener));
    const socket = socketOf(listener);
    if (old === undefined || socket === undefined || isInherited(listener.name) || isInherited(old.name)) continue;
    const { name, path, pathMode, backlog } = listener;
    try {
      if (path !== undefined && pathMode !== old.pathMode) chmodSync(path, Number.parseInt(pathMode, 8));
      if (backlog !== old.backlog) library().listen(socket.fd, backlog);
    } catch (thrown) {
      problems.push(`listener ${name} could not be changed without a restart: ${messageOf(thrown)}`);
    }
  }
  return problems;
}

/**
 * Another descriptor of a socket that systemd has bound: the one that it gave us stays open, for settings to come. The same one
 * where the system's library cannot be called.
 */
export function keepingInherited(fd: number): number {
  try {
    const duplicate = library().duplicate(fd);
    return duplicate < 0 ? fd : duplicate;
  } catch {
    return fd;
  }
}

/** Whether one cannot be bound while the other listens. */
export function overlap(one: BindPlace, other: BindPlace): boolean {
  if ("path" in one || "path" in other) return "path" in one && "path" in other && one.path === other.path;
  if (one.port !== other.port || one.port === 0) return false;
  const [a, b] = [addressOf(one), addressOf(other)];
  if (a === b || a === "*" || b === "*") return true;
  return (a === "0.0.0.0" && !isIPv6(b)) || (b === "0.0.0.0" && !isIPv6(a));
}

function isSameAddress(one: BindPlace | undefined, other: InternetPlace): boolean {
  return one !== undefined && !("path" in one) && addressOf(one) === addressOf(other);
}

/** In one writing; `*` for all of both kinds. */
function addressOf({ address }: InternetPlace): string {
  if (address === undefined) return "*";
  if (!isIPv6(address)) return address;
  const bytes = ipv6Bytes(address);
  return bytes.every((byte) => byte === 0) ? "*" : `ip6:${bytes.toString("hex")}`;
}

/** The same socket for another listener: nobody who has just connected is lost. */
function duplicateOf(socket: LeavingSocket, name: string, place: InternetPlace): BoundSocket {
  const libc = library();
  const fd = libc.duplicate(socket.fd);
  if (fd < 0)
    throw new PosthornError("PORT_UNAVAILABLE", {
      message: `listener ${name}: cannot take over the socket for port ${place.port}: ${codeOf(libc.errno())}`,
      advice: "restart the server: a reload cannot give this socket to another listener now",
    });
  libc.listen(fd, place.backlog ?? BACKLOG);
  return { fd, place, close: () => void libc.close(fd) };
}

/** Sockets share a port only if each says so. Ours say it for this moment: no second server is to be let in. */
function sharingPort(beside: readonly LeavingSocket[], bind: (isShared: boolean) => BoundSocket): BoundSocket {
  if (beside.length === 0) return bind(false);
  const libc = library();
  const share = (fd: number, is: boolean): void => {
    libc.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, integer(is ? 1 : 0), 4);
  };
  for (const { fd } of beside) share(fd, true);
  try {
    const bound = bind(true);
    share(bound.fd, false);
    return bound;
  } finally {
    for (const { fd } of beside) share(fd, false);
  }
}

function hasIpv6(): boolean {
  const libc = library();
  const fd = libc.socket(AF_INET6, SOCK_STREAM_CLOEXEC, 0);
  if (fd >= 0) libc.close(fd);
  return fd >= 0;
}

function bindTo(
  name: string,
  where: string,
  family: number,
  address: Buffer,
  place: BindPlace,
  isShared = false,
): BoundSocket {
  const libc = library();
  const fd = libc.socket(family, SOCK_STREAM_CLOEXEC, 0);
  const fail = (step: string): never => {
    const errno = libc.errno();
    if (fd >= 0) libc.close(fd);
    const code = codeOf(errno);
    throw new PosthornError("PORT_UNAVAILABLE", {
      message: `listener ${name}: cannot ${step} ${where}: ${code}`,
      advice: adviceFor(code, where),
    });
  };
  if (fd < 0) fail("make a socket for");
  libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, integer(1), 4);
  if (isShared) libc.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, integer(1), 4);
  // As Node does: the address of all networks takes IPv4 connections as well.
  if (family === AF_INET6)
    libc.setsockopt(
      fd,
      IPPROTO_IPV6,
      IPV6_V6ONLY,
      integer(address.subarray(8, 24).every((byte) => byte === 0) ? 0 : 1),
      4,
    );
  if (libc.bind(fd, address, address.length) < 0) fail("bind");
  if ("path" in place) chmodSync(place.path, place.mode);
  if (libc.listen(fd, place.backlog ?? BACKLOG) < 0) fail("listen on");
  return { fd, place, close: () => void libc.close(fd) };
}

function codeOf(errno: number): string {
  return Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
}

function integer(value: number): Buffer {
  return Buffer.from(new Int32Array([value]).buffer);
}

function adviceFor(code: string, where: string): string {
  switch (code) {
    case "EADDRINUSE":
      return `another program listens on ${where}: stop it, or set another port (ss -ltnp shows who)`;
    case "EACCES":
      return "ports below 1024 need root, CAP_NET_BIND_SERVICE or systemd's socket unit";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address: ip addr shows those it has";
    default:
      return "check the listener's address in the settings";
  }
}

function unixAddress(path: string): Buffer {
  const name = Buffer.from(path);
  if (name.length > 107) {
    throw new PosthornError("PORT_UNAVAILABLE", {
      message: `the socket path ${path} is longer than the system allows (107 bytes)`,
      advice: "choose a shorter path",
    });
  }
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}

function inetAddress(address: string, port: number): Buffer {
  if (!isIPv6(address)) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    address.split(".").forEach((part, index) => bytes.writeUInt8(Number(part), 4 + index));
    return bytes;
  }
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  ipv6Bytes(address).copy(bytes, 8);
  return bytes;
}

/** The sixteen bytes of an IPv6 address in any of its writings (RFC 4291 section 2.2). */
export function ipv6Bytes(address: string): Buffer {
  const plain = address.split("%")[0] ?? address;
  // The URL parser knows every writing, an embedded IPv4 address included, and gives the compressed form.
  const canonical = new URL(`http://[${plain}]/`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const groupsOf = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const groups = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
  const bytes = Buffer.alloc(16);
  groups.forEach((group, index) => bytes.writeUInt16BE(group, index * 2));
  return bytes;
}
