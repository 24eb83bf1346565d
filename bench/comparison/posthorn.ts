import { join } from "node:path";
import { connectControl } from "../../src/admin/control/client.io.ts";
import { makeCertificate } from "../../test/peers/certificate.ts";
import { startServer, type Layout, type TestServer } from "../../test/server.ts";
import { makeScratch } from "./scratch.ts";
import type { Contender, Wanted } from "./contender.ts";

/**
 * Posthorn as it is installed: its emitted JavaScript, default checks and durability, log and journal on. The split layout's
 * workers run as another user, as many as it has by default.
 */
export async function startPosthorn(layout: Layout, wanted: Wanted): Promise<Contender> {
  const pair = wanted.hasTls === true ? await makeCertificate(makeScratch("posthorn-certificate")) : undefined;
  const server = await startServer({
    layout,
    wholeSettings: settingsFor(layout, wanted, pair),
    env: { POSTHORN_EMITTED: "1" },
    readyWithinMs: 90_000,
  });
  if (wanted.task.kind === "keep") await pauseSending(server);
  return {
    name: layout === "single" ? "Posthorn, single" : "Posthorn, split",
    ports: [server.ports.smtp],
    pid: server.process.pid ?? 0,
    mailbox: join(server.folder, "data", "mail", "recipient", "Maildir", "new"),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** The queue fills and stays. */
async function pauseSending({ folder }: TestServer): Promise<void> {
  using control = await connectControl(join(folder, "data", "run", "control.sock"));
  await control.call("pause", { direction: "out", because: "measuring reception" });
}

function settingsFor(layout: Layout, wanted: Wanted, pair: { certificate: string; key: string } | undefined): string {
  const { task, sessions = 0 } = wanted;
  // By default 5,000 connections at once.
  const limits = sessions > 4000 ? `, limits: { connections: ${sessions + 1000} }` : "";
  const mail =
    task.kind === "local"
      ? ["local: { domains: [bench.test], users: [recipient] }"]
      : [
          `actions: { onward: { relay: { to: "smtp://127.0.0.1:${task.kind === "relay" ? task.to : 9}" } } }`,
          "rules: [{ match: { for: bench.test }, action: onward }]",
        ];
  return `${[
    "hostname: mx.posthorn.test",
    "state: ./data",
    "user: nobody",
    `processes: { layout: ${layout} }`,
    `listeners: [{ name: smtp, address: 127.0.0.1, port: {smtp}, protocol: smtp${limits} }]`,
    ...(pair === undefined ? [] : [`certificates: [{ certificate: "${pair.certificate}", key: "${pair.key}" }]`]),
    ...mail,
  ].join("\n")}\n`;
}
