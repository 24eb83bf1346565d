/**
 * The event catalogue: each event is declared once, in its stage's `events.ts`, with typed fields and a human line.
 * Stages emit through an `Emit` they are given; `mail/log` collects the declarations and writes the sinks.
 *
 * Field kinds have no room for secrets or message content. `text` may come from a peer: every sink escapes control
 * characters (`escape.ts`), so a declaration never has to.
 */
export interface FieldKinds {
  /** Text, possibly a peer's. Bounded by the sink. */
  text: string;
  /** A whole number: counts, ports, codes. */
  count: number;
  /** Milliseconds. */
  ms: number;
  /** Bytes. */
  bytes: number;
  /** An instant, milliseconds since the epoch. */
  at: number;
  flag: boolean;
  /** Several texts. */
  list: readonly string[];
  /** JSON that belongs to the journal's own tables; only a field named `details` may have it. Sinks and readers leave it out. */
  data: string;
}

export type FieldKind = keyof FieldKinds;
/** A kind with `?` may be left out. */
export type FieldDeclaration = FieldKind | `${FieldKind}?`;
export type Level = "error" | "warning" | "info" | "debug";

export type FieldsOf<Declared extends Record<string, FieldDeclaration>> = {
  readonly [Name in keyof Declared as Declared[Name] extends FieldKind ? Name : never]: Declared[Name] extends FieldKind
    ? FieldKinds[Declared[Name]]
    : never;
} & {
  readonly [
    Name in keyof Declared as Declared[Name] extends FieldKind ? never : Name
  ]?: Declared[Name] extends `${infer Kind extends FieldKind}?` ? FieldKinds[Kind] | undefined : never;
};

/**
 * Who speaks in the human line, in Postfix's terms, so that people's tools understand (`posthorn/smtpd[pid]: …`).
 */
export type Speaker =
  | "master"
  | "smtpd"
  | "lmtpd"
  | "cleanup"
  | "qmgr"
  | "smtp"
  | "lmtp"
  | "local"
  | "virtual"
  | "bounce"
  | "discard"
  | "http"
  | "pickup"
  | "control";

export interface EventDeclaration<Declared extends Record<string, FieldDeclaration>> {
  /** `stage.what`, stable: metrics, SQL and people's scripts use it. */
  readonly name: string;
  readonly level: Level;
  readonly speaker: Speaker;
  /** Where the speaker depends on what happened; `speaker` is the usual one. */
  readonly speaksAs?: (fields: FieldsOf<Declared>) => Speaker;
  /** Somebody asked for it while the server runs: shown whatever the level is. */
  readonly isAsked?: true;
  /** The meaning, for the manual. */
  readonly says: string;
  readonly fields: Declared;
  /** One line for people, without time, host, speaker or end of line. `undefined` when only machines should see it. */
  readonly line: (fields: FieldsOf<Declared>) => string | undefined;
}

/** Any declaration, for lists of them. */
// The line's argument is contravariant; a list of declarations can only be typed by forgetting it.
export type AnyEvent = Omit<EventDeclaration<Record<string, FieldDeclaration>>, "line" | "speaksAs"> & {
  readonly speaksAs?: (fields: never) => Speaker;
  readonly line: (fields: never) => string | undefined;
};

export function defineEvent<const Declared extends Record<string, FieldDeclaration>>(
  declaration: EventDeclaration<Declared>,
): EventDeclaration<Declared> {
  return declaration;
}

/** What stages call. Never throws, never blocks, never waits for a sink. */
export type Emit = <Declared extends Record<string, FieldDeclaration>>(
  event: EventDeclaration<Declared>,
  fields: FieldsOf<Declared>,
) => void;

/** For tests and tools that look at nothing. */
export const emitNothing: Emit = () => {};
