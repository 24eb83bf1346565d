import { AsyncLocalStorage } from "node:async_hooks";
import type { Authorization, Client, Order } from "acme-client";
import type { Clock } from "../../foundation/clock.ts";
import { sleep } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { AcmeFailure, acmeProblem, bounded, problemDocument } from "./problem.ts";
import type { Transport } from "./transport.io.ts";

/** A question that an authority will ask, and our answer to it. */
export interface Challenge {
  readonly name: string;
  readonly token: string;
  /** RFC 8555 section 8.1. */
  readonly keyAuthorization: string;
  /** RFC 8737 section 3: for `acme-tls/1` only. */
  readonly certificate?: { readonly certificatePem: string; readonly keyPem: string } | undefined;
}

/** Those who answer. `show` resolves when the answer can be had; what it returns takes it back. */
export interface Answerer {
  show(challenge: Challenge): Promise<() => Promise<void>>;
}

export interface ObtainParts {
  readonly directory: string;
  readonly email?: string | undefined;
  readonly challenge: "http-01" | "tls-alpn-01";
  readonly binding?: { readonly keyId: string; readonly key: string } | undefined;
  readonly accountKeyPem: string;
  readonly names: readonly string[];
  readonly requestPem: string;
  readonly transport: Transport;
  readonly answerer: Answerer;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

type Library = typeof import("acme-client");

/** Which transport the library's requests go over: it has one HTTP client for all of its clients. */
const transports = new AsyncLocalStorage<Transport>();
const FIRST_POLL_MS = 250;
const LONGEST_POLL_MS = 15_000;

let loading: Promise<Library> | undefined;

/** A large library that is needed a few times a year. Nothing of it goes over the network but through our transport. */
function library(): Promise<Library> {
  loading ??= import("acme-client").then((loaded) => {
    loaded.axios.defaults.adapter = async (config) => {
      const transport = transports.getStore();
      if (transport === undefined) throw new Error("outside of an order");
      const body = typeof config.data === "string" ? config.data : undefined;
      const answer = await transport.send((config.method ?? "GET").toUpperCase(), config.url ?? "", body);
      return { status: answer.status, statusText: "", headers: answer.headers, data: answer.text, config };
    };
    return loaded;
  });
  return loading;
}

/**
 * One order from the account to the chain (RFC 8555 section 7). Throws `AcmeFailure`, and the signal's reason when that is
 * aborted; what was shown to the authority is taken back in any case.
 */
export async function obtain(parts: ObtainParts): Promise<string> {
  const acme = await library();
  return await transports.run(parts.transport, async () => {
    try {
      return await order(acme, parts);
    } catch (thrown) {
      parts.signal.throwIfAborted();
      throw failureOf(thrown, parts.transport);
    }
  });
}

/** The library tells of refusals by their words only; the transport has seen the document. */
function failureOf(thrown: unknown, transport: Transport): AcmeFailure {
  if (thrown instanceof AcmeFailure) return thrown;
  const { problem, retryAfterMs } = transport.last() ?? {};
  if (problem === undefined)
    return new AcmeFailure(
      acmeProblem("answer", bounded(`the authority's answer makes no sense: ${messageOf(thrown)}`)),
    );
  return new AcmeFailure(acmeProblem(problem.type, `the authority says: ${problem.detail}`, retryAfterMs));
}

async function order(acme: Library, parts: ObtainParts): Promise<string> {
  const { binding, email, names } = parts;
  const client = new acme.Client({
    directoryUrl: parts.directory,
    accountKey: parts.accountKeyPem,
    ...(binding === undefined ? {} : { externalAccountBinding: { kid: binding.keyId, hmacKey: binding.key } }),
  });
  await client.createAccount({
    termsOfServiceAgreed: true,
    ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
  });
  const placed = await client.createOrder({ identifiers: names.map((value) => ({ type: "dns", value })) });
  const withdrawals: (() => Promise<void>)[] = [];
  try {
    await authorize(acme, client, placed, parts, withdrawals);
  } finally {
    for (const withdraw of withdrawals) await withdraw();
  }
  const ready = await poll(
    parts,
    () => client.getOrder(placed),
    (state) => state.status !== "pending",
  );
  if (ready.status === "ready") await client.finalizeOrder(ready, parts.requestPem);
  const done = await poll(
    parts,
    () => client.getOrder(placed),
    ({ status }) => status === "valid" || status === "invalid",
  );
  if (done.status !== "valid") {
    const document = problemDocument(done.error);
    const words = document === undefined ? "" : `: ${document.detail}`;
    throw new AcmeFailure(acmeProblem(document?.type ?? "refused", `the authority refused the order${words}`));
  }
  return await client.getCertificate(done);
}

/** Answers for each name that the authority does not know from before to be ours. */
async function authorize(
  acme: Library,
  client: Client,
  placed: Order,
  parts: ObtainParts,
  withdrawals: (() => Promise<void>)[],
): Promise<void> {
  const open = (await client.getAuthorizations(placed)).filter(({ status }) => status !== "valid");
  for (const authorization of open) {
    const name = authorization.identifier.value;
    // The library's types do not know tls-alpn-01; its code does.
    const challenge = authorization.challenges.find(({ type }) => (type as string) === parts.challenge);
    if (challenge === undefined)
      throw new AcmeFailure(
        acmeProblem("challenge", `the authority offers no ${parts.challenge} for ${bounded(name)}`),
      );
    const keyAuthorization = await client.getChallengeKeyAuthorization(challenge);
    const shown = { name, token: challenge.token, keyAuthorization };
    const certificate =
      parts.challenge === "tls-alpn-01" ? await challengeCertificate(acme, authorization, keyAuthorization) : undefined;
    withdrawals.push(await parts.answerer.show({ ...shown, certificate }));
    await client.completeChallenge(challenge);
  }
  if (open.length === 0) return;
  const judged = await poll(
    parts,
    () => client.getAuthorizations(placed),
    (all) => all.some(isRefused) || all.every(({ status }) => status === "valid"),
  );
  const refused = judged.find(isRefused);
  if (refused === undefined) return;
  // Those that are left pending count against us at some authorities.
  for (const other of judged)
    if (other.status === "pending") await client.deactivateAuthorization(other).catch(() => undefined);
  const document = refused.challenges.map(({ error }) => problemDocument(error)).find((found) => found !== undefined);
  const name = bounded(refused.identifier.value);
  const words = document === undefined ? `it is ${refused.status}` : document.detail;
  throw new AcmeFailure(
    acmeProblem(document?.type ?? "unauthorized", `the authority does not believe that ${name} is ours: ${words}`),
  );
}

function isRefused({ status }: Pick<Authorization, "status">): boolean {
  return status !== "valid" && status !== "pending";
}

async function challengeCertificate(acme: Library, authorization: Authorization, keyAuthorization: string) {
  const key = await acme.crypto.createPrivateEcdsaKey("P-256");
  const [, certificate] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization, key);
  return { certificatePem: certificate.toString(), keyPem: key.toString() };
}

/** Asks until it is so; how long is the order's deadline's to say. Waits as the authority asks. */
async function poll<State>(
  parts: Pick<ObtainParts, "clock" | "signal" | "transport">,
  ask: () => Promise<State>,
  isSo: (state: State) => boolean,
): Promise<State> {
  for (let waitMs = FIRST_POLL_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_POLL_MS)) {
    const state = await ask();
    if (isSo(state)) return state;
    await sleep(parts.clock, Math.min(parts.transport.last()?.retryAfterMs ?? waitMs, LONGEST_POLL_MS), parts.signal);
  }
}
