import type { AnyEvent } from "../../foundation/events.ts";

/** docs/reference/events.md: every event, from its declaration. */
export function eventsReference(events: readonly AnyEvent[]): string {
  const stages = Map.groupBy(events, (event) => event.name.split(".")[0] ?? "");
  const sections = [...stages].map(([stage, members]) => `## ${stage}\n\n${members.map(entryFor).join("\n")}`);
  return `${INTRODUCTION}\n${sections.join("\n")}`;
}

const INTRODUCTION = `# Events

What the server can say, by its stages: the name that SQL, JSON lines and metrics use, the level, and who speaks in the
log's line (\`posthorn/SPEAKER[pid]\`). How to read the log is told in [the manual](../manual/log.md). This page is
generated from the code.

In JSON lines a field called \`level\`, \`role\` or \`pid\` is \`ownLevel\`, \`ownRole\` or \`ownPid\`, for the line has members of those names;
in SQL it is in \`fields\` as it stands here.

Kinds of field: \`text\`, \`count\`, \`ms\` (milliseconds), \`bytes\`, \`at\` (an instant, milliseconds since 1970), \`flag\`,
\`list\` (of texts), \`data\` (what the journal
keeps in tables of its own; in no sink). A \`?\` marks fields that may be absent.
`;

function entryFor(event: AnyEvent): string {
  const fields = Object.entries(event.fields)
    .map(([name, kind]) => `\`${name}\` ${kind}`)
    .join(", ");
  return `**${event.name}** (${event.level}, ${event.speaker}). ${event.says}\n${fields === "" ? "No fields." : `Fields: ${fields}.`}\n`;
}
