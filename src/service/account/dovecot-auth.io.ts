import { connect, type Socket } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import type { AccountBackend, SocketPlace } from "./backend-settings.ts";
import { dovecotGreeting, dovecotQuestion, parseDovecotLine, type DovecotQuestion } from "./dovecot-auth.ts";

type Settings = Extract<AccountBackend, { kind: "dovecot" }>;

const MOST_LINE_BYTES = 16_384;
/** Dovecot closes connections of clients with more. */
const MOST_IN_FLIGHT = 100;

/**
 * Passwords are checked by Dovecot's auth service, over one connection for all questions; one that is lost is made again
 * with the next question. The account is the name that Dovecot gives back, lower case.
 */
export function dovecotAuthenticator(settings: Settings, clock: Clock): Authenticator & { close(): void } {
  let link: Link | undefined;
  const linked = (): Link => {
    if (link === undefined || link.isOver) link = openLink(settings.socket);
    return link;
  };
  return {
    async checkPassword(user, password, signal, from): Promise<PasswordVerdict> {
      if (user === "" || password === "" || /\0/.test(user + password)) return { kind: "wrong" };
      const current = linked();
      if (current.waiting >= MOST_IN_FLIGHT) return { kind: "failed", text: "too many password checks wait" };
      const before = current.answers;
      try {
        return await withDeadline(
          clock,
          settings.timeout,
          "the answer",
          (within) => current.ask({ user, password, service: settings.service, address: from?.address }, within),
          signal,
        );
      } catch (thrown) {
        // Whatever hangs there, the next question gets a fresh connection: others that wait for one that says nothing
        // would only keep it.
        if (current.waiting === 0 || current.answers === before) current.close();
        return { kind: "failed", text: `Dovecot's auth service (${placeText(settings.socket)}): ${messageOf(thrown)}` };
      }
    },
    close: () => link?.close(),
  };
}

interface Link {
  readonly isOver: boolean;
  readonly waiting: number;
  /** How many questions were answered so far. */
  readonly answers: number;
  ask(question: Omit<DovecotQuestion, "id">, signal: AbortSignal): Promise<PasswordVerdict>;
  close(): void;
}

function openLink(place: SocketPlace): Link {
  const socket: Socket = "path" in place ? connect(place.path) : connect(place.port, place.host);
  const answers = new Map<
    number,
    { give: (verdict: PasswordVerdict) => void; fail: (error: Error) => void; user: string }
  >();
  const mechanisms = new Set<string>();
  const greeted = Promise.withResolvers<void>();
  greeted.promise.catch(() => {});
  let nextId = 1;
  let answered = 0;
  let isOver = false;
  let heard = "";

  const end = (error: Error): void => {
    if (isOver) return;
    isOver = true;
    socket.destroy();
    greeted.reject(error);
    for (const { fail } of answers.values()) fail(error);
    answers.clear();
  };
  const settle = (id: number, verdict: (user: string) => PasswordVerdict): void => {
    const waiting = answers.get(id);
    answered++;
    answers.delete(id);
    waiting?.give(verdict(waiting.user));
  };
  const take = (text: string): void => {
    const line = parseDovecotLine(text);
    switch (line.kind) {
      case "mechanism":
        mechanisms.add(line.name);
        return;
      case "done":
        if (mechanisms.has("PLAIN")) greeted.resolve();
        else end(new Error("it does not offer PLAIN"));
        return;
      case "incompatible":
        end(new Error(`it speaks version ${line.version} of its protocol, and we version 1`));
        return;
      case "ok":
        settle(line.id, (user) => ({ kind: "right", account: (line.user ?? user).toLowerCase() }));
        return;
      case "fail":
        settle(line.id, () => {
          const words = line.reason === undefined ? undefined : `Dovecot: ${line.reason}`;
          if (line.isTemporary) return { kind: "failed", text: words ?? "Dovecot could not find out" };
          return { kind: "wrong", ...(words === undefined ? {} : { because: words }) };
        });
        return;
      case "continue":
        settle(line.id, () => ({ kind: "failed", text: "Dovecot wants more than a password" }));
        return;
      case "other":
    }
  };
  socket.setEncoding("utf8");
  // Nobody is kept alive by a connection on which nothing is asked.
  socket.unref();
  socket.on("connect", () => socket.write(dovecotGreeting(process.pid)));
  socket.on("data", (text: string) => {
    const lines = (heard + text).split("\n");
    heard = lines.pop() ?? "";
    for (const line of lines) take(line);
    if (heard.length > MOST_LINE_BYTES) end(new Error("a line of it is too long"));
  });
  socket.on("error", end);
  socket.on("close", () => end(new Error("the connection was closed")));

  return {
    get isOver() {
      return isOver;
    },
    get waiting() {
      return answers.size;
    },
    get answers() {
      return answered;
    },
    async ask(question, signal) {
      const id = nextId++;
      const answer = Promise.withResolvers<PasswordVerdict>();
      // It may fail while the greeting is still waited for.
      answer.promise.catch(() => {});
      answers.set(id, { give: answer.resolve, fail: answer.reject, user: question.user });
      // An answer that comes later is for nobody.
      signal.addEventListener("abort", () => answers.delete(id), { once: true });
      await greeted.promise;
      if (!isOver && answers.has(id)) socket.write(dovecotQuestion({ id, ...question }));
      return answer.promise;
    },
    close: () => end(new Error("closed")),
  };
}

function placeText(place: SocketPlace): string {
  return "path" in place ? place.path : `${place.host}:${place.port}`;
}
