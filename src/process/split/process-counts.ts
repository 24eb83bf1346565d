import { MOST_MAKERS } from "../../foundation/ids.ts";

/** More of a kind the settings do not allow: those of two versions of them must find numbers for their ids (`MOST_MAKERS`). */
export const MOST_PROCESSES = Math.floor((MOST_MAKERS - 1) / 2);

/** How many processes receive and send. */
export interface ProcessCounts {
  readonly ingress: number;
  readonly egress: number;
}

/**
 * What the settings say, else: one that receives for each core, for handshakes and checks keep a core busy; and one that sends
 * for two cores, for a mail is half of that work there, and processes that wait for each other's turns cost both of them.
 */
export function processCounts(
  { ingress, egress }: { readonly ingress?: number | undefined; readonly egress?: number | undefined },
  cores: number,
): ProcessCounts {
  return {
    ingress: ingress ?? Math.min(cores, MOST_PROCESSES),
    egress: egress ?? Math.min(Math.ceil(cores / 2), MOST_PROCESSES),
  };
}
