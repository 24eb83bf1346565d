import type { ListenerSettings } from "../mail/connection/settings.ts";

/**
 * Sockets that systemd bound for us (sd_listen_fds(3)): from descriptor 3 on, `LISTEN_FDS` of them, meant for the process
 * `LISTEN_PID`, called as `LISTEN_FDNAMES` says. An older Node that started us (bin/launch.js) has handed its own on. A
 * name is a listener's name; sockets without a known name are given to the listeners in the order of the settings.
 */
export function inheritedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  { pid, ppid }: { readonly pid: number; readonly ppid: number },
  listeners: readonly Pick<ListenerSettings, "name">[],
): ReadonlyMap<string, number> {
  const count = Number(environment["LISTEN_FDS"]);
  const isForUs = [String(pid), `after ${ppid}`].includes(environment["LISTEN_PID"] ?? "");
  if (!Number.isInteger(count) || count < 1 || !isForUs) return new Map();
  const names = (environment["LISTEN_FDNAMES"] ?? "").split(":");
  const known = new Set(listeners.map((listener) => listener.name));
  const sockets = new Map<string, number>();
  const nameless: number[] = [];
  for (let index = 0; index < count; index++) {
    const name = names[index] ?? "";
    const fd = FIRST_DESCRIPTOR + index;
    if (known.has(name) && !sockets.has(name)) sockets.set(name, fd);
    else nameless.push(fd);
  }
  for (const { name } of listeners) {
    if (sockets.has(name)) continue;
    const fd = nameless.shift();
    if (fd !== undefined) sockets.set(name, fd);
  }
  return sockets;
}

const FIRST_DESCRIPTOR = 3;
