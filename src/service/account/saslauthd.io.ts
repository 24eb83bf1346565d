import { connect } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";
import type { AccountBackend } from "./backend-settings.ts";
import { parseSaslauthdAnswer, saslauthdQuestion } from "./saslauthd.ts";
import type { Turns } from "../../foundation/turns.ts";

type Settings = Extract<AccountBackend, { kind: "saslauthd" }>;

const MOST_ANSWER_BYTES = 65_537;

/** Passwords are checked by saslauthd (Cyrus SASL), a connection for each question, as it wants it. */
export function saslauthdAuthenticator(settings: Settings, clock: Clock, turns: Turns): Authenticator {
  return {
    async checkPassword(user, password, signal): Promise<PasswordVerdict> {
      const at = user.lastIndexOf("@");
      const splits = settings.realm === "domain" && at > 0;
      const question = saslauthdQuestion({
        user: splits ? user.slice(0, at) : user,
        password,
        service: settings.service,
        realm: splits ? user.slice(at + 1) : "",
      });
      // A NUL ends a text there: what is behind it would not count.
      if (question === undefined || user === "" || password === "" || /\0/.test(user + password))
        return { kind: "wrong" };
      try {
        const answer = await turns.tryTake(() =>
          withDeadline(
            clock,
            settings.timeout,
            "saslauthd's answer",
            (within) => ask(settings.socket, question, within),
            signal,
          ),
        );
        if (answer === undefined) return { kind: "failed", text: "too many password checks wait" };
        if (typeof answer === "string") return { kind: "failed", text: answer };
        if (answer.kind === "right") return { kind: "right", account: user.toLowerCase() };
        return { kind: "wrong", ...(answer.because === undefined ? {} : { because: `saslauthd: ${answer.because}` }) };
      } catch (thrown) {
        return { kind: "failed", text: `saslauthd (${settings.socket}): ${messageOf(thrown)}` };
      }
    },
  };
}

function ask(
  socket: string,
  question: Buffer,
  signal: AbortSignal,
): Promise<Exclude<ReturnType<typeof parseSaslauthdAnswer>, undefined>> {
  return new Promise((resolve, reject) => {
    const stream = connect(socket);
    let heard = Buffer.alloc(0);
    const end = (settle: () => void): void => {
      stream.destroy();
      settle();
    };
    signal.addEventListener("abort", () => end(() => reject(new Error("given up"))), { once: true });
    stream.on("error", (error) => end(() => reject(error)));
    stream.on("end", () => end(() => reject(new Error("closed without an answer"))));
    stream.on("data", (bytes: Buffer) => {
      heard = Buffer.concat([heard, bytes]);
      const answer = parseSaslauthdAnswer(heard);
      if (answer !== undefined) end(() => resolve(answer));
      else if (heard.length > MOST_ANSWER_BYTES) end(() => reject(new Error("the answer is too long")));
    });
    stream.write(question);
  });
}
