import { createConnection } from "node:net";
import { messageOf, systemCodeOf } from "../../../foundation/error.ts";
import type { Dial, Dialled, DialTarget } from "./dial.ts";

type Reason = Extract<Dialled, { ok: false }>["reason"];

/** The words of strerror(3), as people know them from other servers' logs. */
const ERRORS: Readonly<Record<string, readonly [Reason, string]>> = {
  ECONNREFUSED: ["refused", "Connection refused"],
  ECONNRESET: ["reset", "Connection reset by peer"],
  ETIMEDOUT: ["timeout", "Connection timed out"],
  EHOSTUNREACH: ["unreachable", "No route to host"],
  ENETUNREACH: ["unreachable", "Network is unreachable"],
  EADDRNOTAVAIL: ["other", "Cannot assign requested address"],
  EACCES: ["other", "Permission denied"],
  ENOENT: ["refused", "No such file or directory"],
};

/** Connections of the machine. */
export const tcpDial: Dial = (to, signal) =>
  new Promise((resolve) => {
    const socket =
      "path" in to
        ? createConnection({ path: to.path })
        : createConnection({
            host: to.ip,
            port: to.port,
            noDelay: true,
            ...(to.sourceAddress === undefined ? {} : { localAddress: to.sourceAddress }),
          });
    const settle = (dialled: Dialled): void => {
      socket.removeAllListeners();
      signal.removeEventListener("abort", onAbort);
      if (!dialled.ok) {
        socket.on("error", () => {});
        socket.destroy();
      }
      resolve(dialled);
    };
    const onAbort = (): void => settle({ ok: false, reason: "timeout", text: "Connection timed out" });
    socket.once("connect", () => settle({ ok: true, stream: socket }));
    socket.once("error", (error) => {
      const [reason, text] = ERRORS[systemCodeOf(error) ?? ""] ?? (["other", messageOf(error)] as const);
      // It was not even tried: the machine does not have the address.
      const isSource = (error as NodeJS.ErrnoException).syscall === "bind";
      settle(isSource ? { ok: false, reason: "source", text: sourceText(to, text) } : { ok: false, reason, text });
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });

function sourceText(to: DialTarget, text: string): string {
  return `from ${"path" in to ? "here" : to.sourceAddress}: ${text}`;
}
