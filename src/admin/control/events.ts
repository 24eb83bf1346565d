import { defineEvent } from "../../foundation/events.ts";

export const changeAsked = defineEvent({
  name: "control.change",
  level: "info",
  speaker: "control",
  says: "Somebody asked for a change through the control socket; it is being made.",
  fields: { operation: "text", arguments: "text", uid: "text", pid: "text" },
  line: (e) => `uid=${e.uid} pid=${e.pid}: ${e.operation} ${e.arguments}`,
});

export const changeFailed = defineEvent({
  name: "control.change-failed",
  level: "warning",
  speaker: "control",
  says: "A change that was asked for through the control socket could not be made.",
  fields: { operation: "text", uid: "text", problem: "text" },
  line: (e) => `warning: uid=${e.uid}: ${e.operation} failed: ${e.problem}`,
});

export const requestRefused = defineEvent({
  name: "control.refused",
  level: "warning",
  speaker: "control",
  says: "A change was asked for on the socket for queries only.",
  fields: { operation: "text", uid: "text" },
  line: (e) => `warning: uid=${e.uid}: ${e.operation} refused on the query socket`,
});

export const controlListening = defineEvent({
  name: "control.listening",
  level: "debug",
  speaker: "control",
  says: "A control socket takes connections.",
  fields: { path: "text", mode: "text" },
  line: (e) => `listening on ${e.path}, mode ${e.mode}`,
});
