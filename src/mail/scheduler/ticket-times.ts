import type { Ticket } from "./state.ts";

/**
 * The instants of a ticket. They are kept as milliseconds since its message was received: within 24 days of that they are
 * small integers, which V8 keeps in the field itself, where an instant since 1970 takes sixteen bytes beside it. Instants
 * farther away are right as well, and take those bytes.
 */
export function dueAtOf({ message, dueMs = 0 }: Ticket): number {
  return message.receivedAt + dueMs;
}

export function setDueAt(ticket: Ticket, at: number): void {
  ticket.dueMs = at - ticket.message.receivedAt;
}

/** What it waited for has come: it is due, or when its sender wants it sent; never later than it was. */
export function setDueSoon(ticket: Ticket, now: number): void {
  setDueAt(ticket, Math.min(dueAtOf(ticket), Math.max(now, ticket.notBeforeAt ?? 0)));
}

export function expiresAtOf({ message, expiresMs = 0 }: Ticket): number {
  return message.receivedAt + expiresMs;
}

export function setExpiresAt(ticket: Ticket, at: number): void {
  ticket.expiresMs = at - ticket.message.receivedAt;
}

/** Since when it is ready or being tried; undefined before it ever was. */
export function readyAtOf({ message, readyMs }: Ticket): number | undefined {
  return readyMs === undefined ? undefined : message.receivedAt + readyMs;
}

export function setReadyAt(ticket: Ticket, at: number): void {
  ticket.readyMs = at - ticket.message.receivedAt;
}

/** When its sender was told of the delay. */
export function warnedAtOf({ message, warnedMs }: Ticket): number | undefined {
  return warnedMs === undefined ? undefined : message.receivedAt + warnedMs;
}

export function setWarnedAt(ticket: Ticket, at: number): void {
  ticket.warnedMs = at - ticket.message.receivedAt;
}
