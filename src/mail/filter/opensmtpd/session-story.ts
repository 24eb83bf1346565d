import type { Report, TransactionResult } from "../../../protocol/opensmtpd-filter/opensmtpd-filter.ts";
import type { FilterFacts, FilterNotice } from "../filter.ts";

/**
 * What a program has been told of one session, and what it has still to be told before it is asked something. Programs keep
 * a picture of each session that they make of reports alone, so the reports have to be complete and in order, also for a
 * program that was started again while the session was under way: it gets a new story from the beginning.
 */
export class SessionStory {
  readonly #newTransaction: () => string;
  #isConnected = false;
  #isGreeted = false;
  #isEncrypted = false;
  #identity: string | undefined;
  #account: string | undefined;
  #transaction: { readonly id: string; recipients: number; hasData: boolean } | undefined;

  /** `newTransaction`: 8 hexadecimal digits that no other transaction has. */
  constructor(newTransaction: () => string) {
    this.#newTransaction = newTransaction;
  }

  /** `upTo`: what of the facts is settled, for the question that is asked next is not. */
  catchUp(facts: FilterFacts, upTo: "connection" | "session" | "recipients" | "content"): readonly Report[] {
    const reports: Report[] = [];
    if (!this.#isConnected) reports.push(connected(facts));
    this.#isConnected = true;
    if (upTo === "connection") return reports;
    if (!this.#isGreeted) reports.push({ event: "link-greeting", hostname: facts.hostname });
    this.#isGreeted = true;
    if (facts.tls !== undefined && !this.#isEncrypted) {
      const { version, cipher, bits = 0 } = facts.tls;
      reports.push({ event: "link-tls", version, cipher, bits });
      this.#isEncrypted = true;
      // RFC 3207 section 4.2: what the client said before is forgotten.
      this.#identity = undefined;
    }
    if (facts.greeting !== "none" && facts.helo !== undefined && facts.helo !== this.#identity) {
      this.#identity = facts.helo;
      reports.push({
        event: "link-identify",
        method: facts.greeting === "HELO" ? "HELO" : "EHLO",
        identity: facts.helo,
      });
    }
    if (facts.account !== undefined && facts.account !== this.#account) {
      this.#account = facts.account;
      reports.push({ event: "link-auth", user: facts.account, result: "pass" });
    }
    if (upTo === "session") return [...reports, ...this.#close()];
    reports.push(...this.#mail(facts));
    if (upTo === "content" && this.#transaction?.hasData === false) {
      this.#transaction.hasData = true;
      reports.push({ event: "tx-data", transaction: this.#transaction.id, result: "ok" });
    }
    return reports;
  }

  onNote(what: FilterNotice): readonly Report[] {
    switch (what.notice) {
      case "tls":
        return this.catchUp({ ...what.facts, greeting: "none" }, "session");
      case "auth":
        if (what.outcome === "pass") this.#account = what.user;
        return [{ event: "link-auth", user: what.user, result: what.outcome }];
      case "client-line":
        return [{ event: "protocol-client", line: what.line }];
      case "server-line":
        return [{ event: "protocol-server", line: what.line }];
      case "mail":
        return what.outcome === "ok"
          ? this.catchUp(withoutRecipients(what.facts), "recipients")
          : [...this.catchUp(what.facts, "session"), ...this.#refusedMail(what.facts, what.outcome)];
      case "rcpt":
        return this.#recipient(what.facts, what.recipient, what.outcome);
      case "data": {
        const reports = [...this.catchUp(what.facts, "recipients")];
        if (this.#transaction === undefined) return reports;
        this.#transaction.hasData = what.outcome === "ok";
        return [...reports, { event: "tx-data", transaction: this.#transaction.id, result: what.outcome }];
      }
      case "commit":
        return this.#close(what.sizeBytes);
      case "rollback":
        return this.#close();
      case "reset":
        return this.#transaction === undefined ? [{ event: "tx-reset" }] : this.#close();
      case "timeout":
        return [{ event: "timeout" }];
    }
  }

  end(): readonly Report[] {
    return this.#isConnected ? [...this.#close(), { event: "link-disconnect" }] : [];
  }

  #mail({ mail }: FilterFacts): readonly Report[] {
    if (mail === undefined) return [];
    const reports: Report[] = [];
    if (this.#transaction === undefined) {
      this.#transaction = { id: this.#newTransaction(), recipients: 0, hasData: false };
      const { id } = this.#transaction;
      reports.push(
        { event: "tx-begin", transaction: id },
        { event: "tx-mail", transaction: id, address: mail.sender, result: "ok" },
      );
    }
    for (const { address } of mail.recipients.slice(this.#transaction.recipients))
      reports.push(...this.#accepted(this.#transaction, address));
    return reports;
  }

  #refusedMail({ mail }: FilterFacts, result: TransactionResult): readonly Report[] {
    const transaction = this.#newTransaction();
    return [
      { event: "tx-begin", transaction },
      { event: "tx-mail", transaction, address: mail?.sender ?? "", result },
      { event: "tx-rollback", transaction },
      { event: "tx-reset", transaction },
    ];
  }

  #recipient(facts: FilterFacts, address: string, result: TransactionResult): readonly Report[] {
    const known = this.#transaction?.recipients ?? 0;
    const reports = [...this.catchUp(facts, "recipients")];
    if (this.#transaction === undefined) return reports;
    if (result !== "ok") return [...reports, { event: "tx-rcpt", transaction: this.#transaction.id, address, result }];
    // The facts may have it already, or not yet.
    const isTold = this.#transaction.recipients > known && facts.mail?.recipients.at(-1)?.address === address;
    return isTold ? reports : [...reports, ...this.#accepted(this.#transaction, address)];
  }

  #accepted(transaction: { readonly id: string; recipients: number }, address: string): readonly Report[] {
    transaction.recipients++;
    const { id } = transaction;
    const envelope = id + (transaction.recipients % 2 ** 32).toString(16).padStart(8, "0");
    return [
      { event: "tx-envelope", transaction: id, envelope },
      { event: "tx-rcpt", transaction: id, address, result: "ok" },
    ];
  }

  /** Programs forget a mail when it is reset, also one that was kept. */
  #close(sizeBytes?: number): readonly Report[] {
    if (this.#transaction === undefined) return [];
    const { id: transaction } = this.#transaction;
    this.#transaction = undefined;
    return [
      sizeBytes === undefined ? { event: "tx-rollback", transaction } : { event: "tx-commit", transaction, sizeBytes },
      { event: "tx-reset", transaction },
    ];
  }
}

function connected({ client, server }: FilterFacts): Report {
  return {
    event: "link-connect",
    name: client.name,
    confirmed: client.name === undefined ? "fail" : "pass",
    source: client.address === undefined ? LOCAL : endpoint(client.address, client.port),
    destination: server === undefined ? LOCAL : endpoint(server.address, server.port),
  };
}

/** What OpenSMTPD calls the socket of its own host. */
const LOCAL = "unix:local";

/** `192.0.2.1:25`, `[2001:db8::1]:25` */
function endpoint(address: string, port = 0): string {
  return `${bracketed(address)}:${port}`;
}

export function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function withoutRecipients(facts: FilterFacts): FilterFacts {
  return facts.mail === undefined ? facts : { ...facts, mail: { ...facts.mail, recipients: [] } };
}
