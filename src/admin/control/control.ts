import type { AnswerOf, OperationName } from "./operations.ts";
import type { ItemOf, StreamName } from "./streams.ts";

/**
 * Control: the one way in which people and the console reach a running server.
 *
 *     posthorn, console → unix socket (protocol.ts) → operations.ts, streams.ts → Admin (admin.ts) → the roles
 *
 * Two sockets: `query.sock` answers questions, `control.sock` makes changes too. File mode and group decide who may use
 * which; every change is logged with the uid that the kernel tells. On `query.sock` users of this host whom mode and group
 * do not let in see the mail that they handed in themselves (`own-view.ts`). Invariants: nothing that a client sends ends the
 * process; lines, waiting requests, clients and the backlog of live events have bounds; each operation has a deadline,
 * a client has one for taking each portion of an answer, and the server one for giving a sign of life. A list is read a page at a time, as the client takes it: between
 * two pages the server keeps nothing of it, so one that hangs up or stalls costs nothing but its place.
 */
export interface ControlClient extends Disposable {
  /** Rejects with the server's error as a `PosthornError`, or `CONTROL_UNREACHABLE` when the server went away, or hangs. */
  call<Name extends OperationName>(name: Name, args?: unknown): Promise<AnswerOf<Name>>;
  /** The items of a stream, in the portions in which they come. Returning before its end closes the connection. */
  portions<Name extends StreamName>(name: Name, args?: unknown): AsyncGenerator<readonly ItemOf[Name][], void, void>;
  /** The items one by one, where they are few. */
  stream<Name extends StreamName>(name: Name, args?: unknown): AsyncGenerator<ItemOf[Name], void, void>;
}
