import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { freePort, startServer, type Layout, type TestServer } from "../server.ts";
import { isOf, type Content } from "./contents.ts";
import { requirePeer } from "./peer.ts";
import { hasPeer, type RunningPeer } from "./running.ts";

/** A mail server that speaks SMTP in both directions, and what it offers. */
export interface RelayPeer {
  /** As test/peers/install.sh names it. */
  readonly name: string;
  /** The domain whose mail it delivers; it refuses nobody@ there. */
  readonly domain: string;
  readonly start: (options: { relayTo: number; hasTls: boolean }) => Promise<RunningPeer>;
  readonly hasSmtpUtf8: boolean;
  /** Its STARTTLS is offered but fails: mail must arrive all the same, and nowhere be said to be encrypted. */
  readonly breaksTls?: boolean;
  /** How it tells of success: as RFC 3464 asks, so but with ENVID and ORCPT as they came, or in words only. */
  readonly notices: "standard" | "undecoded" | "plain text";
  /** Where it offers CHUNKING: how its log shows content that came by BDAT. */
  readonly bdatInLog?: RegExp;
  /** Content that it changes by itself, by name, and how: that is compared after the same change. */
  readonly changes?: Readonly<Record<string, (content: Content) => Content>>;
}

export interface Pair extends AsyncDisposable {
  readonly server: TestServer;
  readonly peer: RunningPeer;
  readonly swaks: string;
  readonly python: string;
}

/**
 * Posthorn and a peer that know each other. Posthorn delivers posthorn.test, and relays to the peer: what is for plain@
 * without TLS, for verified@ with a certificate that must verify, all else with TLS when it is offered.
 */
export async function startPair(
  plan: RelayPeer,
  t: TestContext,
  layout: Layout,
  delivery: { readonly chunking?: string } = {},
): Promise<Pair | undefined> {
  if (!hasPeer(plan.name, t)) return undefined;
  const [swaksAt, python] = [requirePeer("swaks", t), requirePeer("python3", t)];
  if (swaksAt === undefined || python === undefined) return undefined;
  const ports = { smtp: await freePort(), submission: await freePort(), smtps: await freePort() };
  const peer = await plan.start({ relayTo: ports.smtp, hasTls: true });
  try {
    const server = await startServer({
      layout,
      ports,
      settings: `local: { domains: [posthorn.test] }
delivery: { caFile: "${join(peer.folder, "certificate.pem")}", chunking: ${delivery.chunking ?? "offered"} }
actions:
  plain: { relay: { to: "smtp://127.0.0.1:${peer.at}" } }
  verified: { relay: { to: "tls://127.0.0.1:${peer.at}", verify: true } }
  usual: { relay: { to: "smtp+tls://127.0.0.1:${peer.at}" } }
rules:
  - { match: { rcptTo: "plain@${plan.domain}" }, action: plain }
  - { match: { rcptTo: "verified@${plan.domain}" }, action: verified }
  - { match: { for: local }, action: deliver }
  - { match: { from: local }, action: usual }
`,
    });
    return {
      server,
      peer,
      swaks: swaksAt,
      python,
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]();
        await peer[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await peer[Symbol.asyncDispose]();
    throw error;
  }
}

/** The delivered copies of a content, when there are `count`; fails with both logs when they do not come. */
export async function copiesOf(
  content: Content,
  mails: () => readonly string[],
  pair: Pair,
  count = 1,
): Promise<readonly string[]> {
  const untilAt = Date.now() + 60_000;
  for (;;) {
    const copies = mails().filter((mail) => isOf(mail, content));
    if (copies.length >= count) return copies;
    if (Date.now() > untilAt)
      throw new Error(
        `${content.name}: ${copies.length} of ${count} copies came:\n${pair.server.output().slice(-4000)}\n${pair.peer.log().slice(-4000)}`,
      );
    await wait(50);
  }
}
