import type { AliasTarget } from "../../protocol/address/alias-targets.ts";
import { splitAddress, unquote } from "../../protocol/address/mailbox.ts";
import { foldKey, foldName } from "../../service/table/pattern.ts";
import { askingAhead, type Ahead } from "./ahead.ts";
import {
  findCatchAll,
  findInBook,
  MOST_AHEAD,
  ownerOf,
  type Book,
  type BookAnswer,
  type BookEntry,
  type Known,
} from "./address-book.ts";
import { MOST_VIA } from "./envelope.ts";
import type {
  ExpandedTarget,
  Expansion,
  ExpansionStep,
  ExpansionWorld,
  ForwardToExpand,
  Origin,
  WrongTarget,
} from "./expansion.ts";
import { splitExtension } from "./extension.ts";
import type { Failure } from "./failure.ts";
import { visitOf, type Entry, type Visit } from "./target-visit.ts";
import { chainText, emptyList, forbidden, loopOf, targetText, unknownUser } from "./wrong-target.ts";

/**
 * Expansion: what an address stands for, by aliases, virtual tables, lists in files, until nothing stands for anything else.
 * Each address on the way is placed anew: the rules say what becomes of it, and which book knows its domain.
 *
 * It ends whatever the tables say: it is bounded in depth and in number, an address that leads back to itself is a loop,
 * and a name that an alias of its own names (`joe: joe, ann`) is the mailbox. What cannot be found out makes the whole of
 * it wait; a member that is wrong fails alone, as long as others are right. The same mailbox is found once. A list with
 * nobody in it is wrong, too: mail for nobody has no end that anybody would be told of.
 *
 * `expandRecipient`: what an address given in RCPT stands for.
 */
export function expandRecipient(world: ExpansionWorld, address: string): Promise<Expansion> {
  return new Run(world).whole((run) => run.visit({ address, via: [], isFinal: false, depth: 0 }));
}

/** What the targets of a user's `.forward` stand for. */
export function expandForward(world: ExpansionWorld, forward: ForwardToExpand): Promise<Expansion> {
  return new Run(world, forward).whole((run) => run.forward(forward));
}

class NotNow extends Error {
  override readonly name = "NotNow";
  readonly text: string | undefined;
  readonly status: string | undefined;
  constructor(because: string, status?: string, text?: string) {
    super(because);
    this.status = status;
    this.text = text;
  }
}

class Run {
  readonly #world: ExpansionWorld;
  readonly #forwarded: ForwardToExpand | undefined;
  #ahead: Ahead | undefined;
  readonly #targets = new Map<string, ExpandedTarget>();
  readonly #wrong: {
    readonly address: string;
    readonly via: readonly string[];
    readonly owner?: string | undefined;
    readonly wrong: WrongTarget;
  }[] = [];
  readonly #visited = new Set<string>();
  readonly #steps: ExpansionStep[] = [];
  #visits = 0;
  #localAction = "deliver";

  constructor(world: ExpansionWorld, forwarded?: ForwardToExpand) {
    this.#world = world;
    this.#forwarded = forwarded;
  }

  async whole(work: (run: Run) => Promise<void>): Promise<Expansion> {
    const steps = this.#steps;
    try {
      await work(this);
    } catch (thrown) {
      if (!(thrown instanceof NotNow)) throw thrown;
      const { message: because, status, text } = thrown;
      return {
        kind: "not-now",
        because,
        steps,
        ...(status === undefined ? {} : { status }),
        ...(text === undefined ? {} : { text }),
      };
    }
    const [first] = this.#wrong;
    const isNothing = [...this.#targets.values()].every((target) => target.isReceipt === true);
    if (isNothing) return { kind: "refused", wrong: first?.wrong ?? emptyList(steps), steps };
    for (const { address, via, owner, wrong } of this.#wrong) this.#keep(this.#errorTarget(address, via, owner, wrong));
    return { kind: "targets", targets: [...this.#targets.values()], steps };
  }

  async forward(forward: ForwardToExpand): Promise<void> {
    const via = [...forward.via, forward.recipient];
    this.#localAction = forward.action;
    const { domain } = splitAddress(forward.recipient);
    this.#step(forward.recipient, forward.where, forward.targets);
    await this.#targetsOf(forward.targets, {
      ...forward,
      address: forward.recipient,
      localAction: forward.action,
      rule: forward.where,
      via,
      depth: 0,
      from: "forward",
      domain,
      unmatched: "",
      includes: [],
    });
  }

  async visit(asked: Visit): Promise<void> {
    const { limits } = this.#world;
    const { address, via, depth, from, owner } = asked;
    this.#count(via[0] ?? address);
    if (depth > limits.depth || via.length > MOST_VIA)
      throw new NotNow(`${chainText([...via, address])}: more than ${limits.depth} steps`);
    const visit =
      asked.mayBeOwn === true && (await this.#isForwarder(address, from)) ? { ...asked, isFinal: true } : asked;
    const key = foldKey(address);
    // Once is enough, but for a loop: that is told.
    const isLoop = via.some((one) => foldKey(one) === key);
    const seen = `${key} ${visit.isFinal ? "\\" : ""}${visit.isOwn === true ? "=" : ""} ${owner ?? ""}`;
    if (!isLoop && this.#visited.has(seen)) return;
    this.#visited.add(seen);
    if (isLoop && visit.isOwn !== true && !visit.isFinal) {
      this.#fail(visit, loopOf([...via, address]));
      return;
    }

    const ahead = this.#ahead?.of(address, from);
    const placed = await (ahead?.placed ?? this.#world.place(address, from));
    if (placed.kind === "failed") throw new NotNow(placed.text);
    if (placed.kind === "refused") {
      this.#fail(visit, { ...placed, reason: "refused" });
      return;
    }
    if (placed.kind === "instead") {
      const { rule, isSame } = placed;
      if (!isSame) this.#steps.push({ address, where: rule, to: [placed.address] });
      await this.visit({
        ...visit,
        address: placed.address,
        via: isSame ? via : [...via, address],
        depth: depth + 1,
        from: from ?? "alias",
        rule,
        isOwn: false,
      });
      return;
    }
    if (depth === 0 && this.#forwarded === undefined) this.#localAction = placed.localAction;
    const { book } = placed;
    const asks = book !== undefined && !visit.isFinal && visit.isOwn !== true;
    let user: string | undefined;
    let answer: BookAnswer = asks ? await (ahead?.answer ?? this.#find(book, address)) : { kind: "none" };
    if (answer.kind === "none") {
      const known = placed.isLocal ? await placed.user() : ANYBODY;
      if (known !== false && "failed" in known) throw new NotNow(known.failed);
      if (known !== false) user = known.name;
      const endsHere = known !== false && placed.onlyAliases !== true;
      if (asks && !endsHere) answer = await findCatchAll(book, address);
      if (answer.kind === "none" && !endsHere) {
        this.#fail(visit, unknownUser(address));
        return;
      }
    }
    if (answer.kind === "failed") throw new NotNow(answer.text);
    if (answer.kind === "none" || book === undefined) {
      const { local } = splitAddress(address);
      const bare = splitExtension(foldName(unquote(local)), book?.delimiters ?? this.#forwarded?.delimiters ?? "").user;
      const isFinal = visit.isFinal && placed.isLocal;
      // Delivery, which asks no table, takes what stands before the delimiter.
      const isNamed = isFinal || (user !== undefined && user !== bare);
      this.#keep({
        recipient: address,
        action: placed.action,
        rule: visit.rule ?? placed.rule,
        via,
        owner,
        ...(isNamed ? { target: { kind: "user", user: user ?? bare, isFinal } } : {}),
      });
      return;
    }
    const { targets } = answer.value;
    this.#step(address, answer.where, targets);
    const entry: Entry = {
      address,
      action: placed.action,
      localAction: placed.localAction,
      rule: placed.rule,
      via: [...via, address],
      depth,
      from: book.kind === "primary" ? "alias" : "virtual",
      domain: this.#domainOfNames(book, address),
      unmatched: book.kind === "virtual" ? answer.unmatched : "",
      user: "",
      where: answer.where,
      includes: [],
    };
    this.#askAhead(targets, entry, answer.known);
    const listOwner = await this.#ownerOf(book, address, answer);
    if (listOwner !== undefined)
      this.#keep({
        recipient: address,
        action: placed.localAction,
        rule: placed.rule,
        via,
        owner,
        target: { kind: "none", text: "the list has it" },
        isReceipt: true,
      });
    await this.#targetsOf(targets, { ...entry, owner: listOwner ?? owner });
  }

  /**
   * Whether what may be an address with an extension is one of the user's whose `.forward` it is: then it is a copy for the
   * mailbox. It is not where the whole name is an alias or a user of its own.
   */
  async #isForwarder(address: string, from: Origin | undefined): Promise<boolean> {
    const placed = await this.#world.place(address, from);
    if (placed.kind === "failed") throw new NotNow(placed.text);
    if (placed.kind !== "placed" || !placed.isLocal) return true;
    const alias: BookAnswer = placed.book === undefined ? { kind: "none" } : await findInBook(placed.book, address);
    if (alias.kind === "failed") throw new NotNow(alias.text);
    if (alias.kind === "found" && alias.unmatched === "") return false;
    const user = await placed.user();
    if (user === false) return true;
    if ("failed" in user) throw new NotNow(user.failed);
    return user.name === undefined || user.name === this.#forwarded?.name;
  }

  async #targetsOf(targets: readonly AliasTarget[], entry: Entry): Promise<void> {
    for (const [at, target] of targets.entries()) {
      this.#askAhead(targets.slice(at, at + MOST_AHEAD), entry);
      await this.#target(target, entry);
    }
  }

  #find(book: Book, address: string): Promise<BookAnswer> {
    const { isTold, limits } = this.#world;
    if (isTold === true) return findInBook(book, address);
    return findInBook(book, address, {
      next: { domain: this.#domainOfNames(book, address), hasOwners: limits.hasOwners },
    });
  }

  /** Of names without one in the entry of an address. */
  #domainOfNames(book: Book, address: string): string {
    return book.kind === "primary" ? splitAddress(address).domain : this.#world.primaryDomain;
  }

  /** Only what will be asked in any case. */
  #askAhead(targets: readonly AliasTarget[], entry: Entry, known?: Known): void {
    this.#ahead ??= askingAhead(this.#world);
    const addressOf = (target: AliasTarget): string | undefined => {
      const visit = visitOf(target, entry, this.#forwarded);
      if (visit === undefined || visit.isFinal || visit.isOwn === true || visit.mayBeOwn === true) return undefined;
      const isTooDeep = visit.depth > this.#world.limits.depth;
      const isLoop = visit.via.some((one) => foldKey(one) === foldKey(visit.address));
      return isTooDeep || isLoop ? undefined : visit.address;
    };
    this.#ahead.begin(targets, entry.from, addressOf, known);
  }

  async #target(target: AliasTarget, entry: Entry): Promise<void> {
    const { limits } = this.#world;
    const { address, via, owner, localAction, rule, where } = entry;
    const ends = { recipient: address, action: localAction, rule, via: via.slice(0, -1), owner };
    // Addresses are counted as they are visited.
    if (target.kind !== "address" && target.kind !== "domain") this.#count(via[0] ?? address);
    switch (target.kind) {
      case "address":
      case "domain": {
        const visit = visitOf(target, entry, this.#forwarded);
        if (visit !== undefined) await this.visit(visit);
        return;
      }
      case "command":
        if (limits.commandsFrom.includes(entry.from))
          this.#keep({ ...ends, target: { kind: "command", command: target.command, user: entry.user } });
        else this.#fail(entry, forbidden(`${where}: a command, which entries of this kind may not have`));
        return;
      case "file":
        if (limits.filesFrom.includes(entry.from))
          this.#keep({ ...ends, target: { kind: "file", path: target.path, user: entry.user } });
        else this.#fail(entry, forbidden(`${where}: a file, which entries of this kind may not have`));
        return;
      case "include":
        await this.#include(target.path, entry);
        return;
      case "fail":
        this.#fail(entry, {
          code: 550,
          status: target.status ?? "5.1.1",
          text: target.text === "" ? "this address is closed" : target.text,
          because: where,
          reason: "refused",
        });
        return;
      case "defer":
        throw new NotNow(where, target.status ?? "4.2.0", target.text === "" ? "please try again later" : target.text);
      case "discard":
        this.#keep({ ...ends, target: { kind: "none", text: `thrown away, as ${where} says`, isThrownAway: true } });
    }
  }

  async #include(path: string, entry: Entry): Promise<void> {
    if (!this.#world.limits.includesFrom.includes(entry.from)) {
      this.#fail(entry, forbidden(`${entry.where}: a list in a file, which entries of this kind may not have`));
      return;
    }
    if (entry.includes.includes(path)) {
      this.#fail(entry, loopOf([...entry.includes, path]));
      return;
    }
    if (entry.includes.length >= this.#world.limits.depth) throw new NotNow(`${path}: too many lists within lists`);
    const answer = await this.#world.readInclude(path);
    if (answer.kind === "failed") throw new NotNow(answer.text);
    this.#step(entry.address, path, answer.targets);
    await this.#targetsOf(answer.targets, {
      ...entry,
      from: "include",
      where: path,
      includes: [...entry.includes, path],
    });
  }

  /** RFC 5321 section 3.9: what is wrong with a list is told to whoever keeps it. */
  async #ownerOf(book: Book, address: string, { unmatched, known }: BookEntry): Promise<string | undefined> {
    const owner = ownerOf(address, unmatched);
    if (!this.#world.limits.hasOwners || owner === undefined) return undefined;
    const answer = await findInBook(book, owner, { known });
    if (answer.kind === "failed") throw new NotNow(answer.text);
    return answer.kind === "found" ? owner : undefined;
  }

  /** Lists, commands and files count, too: whoever names them without end is no less a burden. */
  #count(given: string): void {
    const { targets } = this.#world.limits;
    if (++this.#visits > targets) throw new NotNow(`${given} stands for more than ${targets} addresses`);
  }

  #keep(target: ExpandedTarget): void {
    const key = targetKey(target);
    if (!this.#targets.has(key)) this.#targets.set(key, target);
  }

  #fail(at: Pick<Visit, "address" | "via" | "owner">, wrong: WrongTarget): void {
    this.#wrong.push({ address: at.address, via: at.via, owner: at.owner, wrong });
  }

  #errorTarget(address: string, via: readonly string[], owner: string | undefined, wrong: WrongTarget): ExpandedTarget {
    const failure: Failure = {
      lasting: wrong.code < 500 ? "temporary" : "permanent",
      status: wrong.status,
      cause: { kind: "alias", reason: wrong.reason, text: `${address}: ${wrong.text}`, told: wrong.text },
    };
    return {
      recipient: address,
      action: this.#localAction,
      rule: wrong.because,
      via,
      owner,
      target: { kind: "error", failure },
    };
  }

  #step(address: string, where: string, targets: readonly AliasTarget[]): void {
    this.#steps.push({ address, where, to: targets.map(targetText) });
  }
}

/** Elsewhere nothing says what users there are. */
const ANYBODY = { name: undefined };

/** Two that are equal in this are one envelope. */
function targetKey(
  target: Pick<ExpandedTarget, "recipient" | "action" | "target"> & { readonly owner?: string | undefined },
): string {
  return JSON.stringify([foldKey(target.recipient), target.action, target.target, target.owner]);
}
