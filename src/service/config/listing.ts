import type { z } from "zod";
import { formatDuration, formatRate, formatSize, type Rate } from "../../foundation/units.ts";
import { locate, type Origins, type SettingPath } from "./config.ts";
import { kebabCase } from "./names.ts";
import { factsOf, memberOf, shapeOf } from "./schema.ts";

/** One setting in force, for `posthorn config`. */
export interface ListedSetting {
  /** `scheduler.first-retry`, as YAML would say it. */
  readonly name: string;
  /** As a person would write it. */
  readonly value: string;
  /** `posthorn.yaml:12:3`, or `default`. */
  readonly where: string;
}

/** The settings in force, each with its value and where it was set. What the code made of a value is shown as JSON. */
export function listSettings(schema: z.core.$ZodType, settings: unknown, origins: Origins): readonly ListedSetting[] {
  const visit = (
    type: z.core.$ZodType | undefined,
    value: unknown,
    path: SettingPath,
    name: string,
  ): readonly ListedSetting[] => {
    if (value === undefined) return [];
    const shape = type === undefined ? undefined : shapeOf(type);
    const element = type === undefined ? undefined : memberOf(type, "array");
    const entry = type === undefined ? undefined : memberOf(type, "record");
    if (Array.isArray(value) && element !== undefined && shapeOf(element) !== undefined && value.length > 0)
      return value.flatMap((item, at) => visit(element, item, [...path, at], `${name}[${at}]`));
    if (isObject(value) && (shape !== undefined || entry !== undefined)) {
      const parts = Object.entries(value);
      // What a transformation turned into something else has other names than those that were written.
      const isAsWritten = shape === undefined || parts.every(([part]) => shape.has(part));
      if (isAsWritten && parts.length > 0)
        return parts.flatMap(([part, of]) => {
          const spelled = shape === undefined ? part : kebabCase(part);
          return visit(shape?.get(part) ?? entry, of, [...path, part], name === "" ? spelled : `${name}.${spelled}`);
        });
    }
    return [{ name, value: shown(type, value), where: locate(origins, path) }];
  };
  return visit(schema, settings, [], "");
}

function shown(type: z.core.$ZodType | undefined, value: unknown): string {
  const kind = type === undefined ? undefined : factsOf(type).kind;
  if (kind === "secret") return "(secret)";
  if (kind === "duration" && typeof value === "number") return formatDuration(value);
  if (kind === "size" && typeof value === "number") return formatSize(value);
  if (kind === "rate" && isRate(value)) return formatRate(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isRate(value: unknown): value is Rate {
  return isObject(value) && typeof value["count"] === "number" && typeof value["perMs"] === "number";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
