import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { connectControl } from "../src/admin/control/client.io.ts";
import { startPostfix } from "../test/peers/postfix.ts";
import { inPeer } from "../test/peers/running.ts";
import { startServer, type Layout } from "../test/server.ts";

/**
 * The servers side by side. Each is started as it is installed (Posthorn from its emitted JavaScript), with its default
 * durability: all of them sync before the 250. What differs from the defaults is here.
 */
export interface Contender extends AsyncDisposable {
  readonly name: ContenderName;
  /** Where it takes mail. */
  readonly port: number;
  /** Its first process; all others descend from it. */
  readonly pid: number;
}

export const contenderNames = ["Posthorn, single", "Posthorn, split", "Postfix", "Postfix, held"] as const;
export type ContenderName = (typeof contenderNames)[number];

/** What a server is to do with the mail it gets. */
export type Task =
  /** Keep it: queued, known to the scheduler, not delivered. */
  | { readonly kind: "keep" }
  /** Pass it on to this port of 127.0.0.1. */
  | { readonly kind: "relay"; readonly to: number };

export const RECIPIENT = "recipient@bench.test";

export function startContender(name: ContenderName, task: Task): Promise<Contender> {
  switch (name) {
    case "Posthorn, single":
      return startPosthorn(name, "single", task);
    case "Posthorn, split":
      return startPosthorn(name, "split", task);
    case "Postfix":
      return startDebiansPostfix(name, task, ["defer_transports = smtp"]);
    case "Postfix, held":
      return startDebiansPostfix(name, task, ["smtpd_client_restrictions = static:HOLD"]);
  }
}

async function startPosthorn(name: ContenderName, layout: Layout, task: Task): Promise<Contender> {
  const next = task.kind === "relay" ? `smtp://127.0.0.1:${task.to}` : "smtp://127.0.0.1:9";
  const server = await startServer({
    layout,
    settings: `actions: { onward: { relay: { to: "${next}" } } }
rules: [{ match: { for: bench.test }, action: onward }]
`,
    env: { POSTHORN_EMITTED: "1" },
  });
  const pid = server.process.pid ?? 0;
  if (task.kind === "keep") {
    using control = await connectControl(join(server.folder, "data", "run", "control.sock"));
    await control.call("pause", { direction: "out", because: "measuring reception" });
  }
  return { name, port: server.ports.smtp, pid, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function startDebiansPostfix(name: ContenderName, task: Task, whenKept: readonly string[]): Promise<Contender> {
  const peer = await startPostfix({
    ...(task.kind === "relay" ? { relayTo: task.to } : {}),
    // Room for a thousand sessions, each of which is a process there.
    settings: ["default_process_limit = 1100", ...(task.kind === "keep" ? whenKept : [])],
  });
  return { name, port: Number(peer.at), pid: peer.pid, [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose]() };
}

export async function postfixVersion(): Promise<string> {
  const [program, argv] = inPeer("postfix", ["postconf", "-d", "-h", "mail_version"]);
  const child = spawn(program, argv, { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  child.stdout.on("data", (bytes: Buffer) => (text += bytes.toString()));
  await once(child, "close");
  return text.trim();
}
