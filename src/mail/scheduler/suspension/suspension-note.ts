import { SUSPENSION_LEVELS, type SuspensionFacts } from "./suspension.ts";

/** A suspension as the store keeps it; undefined when it is none. */
export function suspensionFrom(text: string): SuspensionFacts | undefined {
  const written = objectFrom(text);
  const level = SUSPENSION_LEVELS.find((one) => one === written["level"]);
  const { key, because, by, setAt, untilAt } = written;
  if (level === undefined || typeof key !== "string" || typeof because !== "string" || typeof by !== "string")
    return undefined;
  if (!isTime(setAt) || (untilAt !== undefined && !isTime(untilAt))) return undefined;
  return { level, key, because, by, setAt, ...(untilAt === undefined ? {} : { untilAt }) };
}

function objectFrom(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
