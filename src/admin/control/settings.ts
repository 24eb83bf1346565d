import { z } from "zod";
import { path } from "../../service/config/kinds.ts";

/** Octal text as chmod takes it, `0660`; a number in YAML would be read as decimal by one person and octal by the next. */
function fileMode(): z.ZodType<number, string> {
  return z
    .string()
    .transform((text, context) => {
      if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
      context.addIssue({ code: "custom", message: 'expected a file mode in octal and in quotes, such as "0660"' });
      return z.NEVER;
    })
    .meta({ kind: "file mode" });
}

function socketFields(file: string, mode: string) {
  return {
    path: path().optional().describe(`The socket's file. Without it: ${file} in the state directory's \`run\`.`),
    mode: fileMode().prefault(mode).describe("The socket's file mode: who can write to it may use it."),
    group: z.string().optional().describe("The group that the socket's file is given to."),
  };
}

export const controlSettings = z
  .strictObject({
    query: z
      .strictObject({
        ...socketFields("query.sock", "0660"),
        others: z
          .enum(["own", "none"])
          .default("own")
          .describe(
            "What users of this host see whom mode and group do not let in: the mail that they have handed in themselves and that is still in the queue, as `mailq` shows it, or nothing. With `own` everybody can connect to the file, and the server looks at who it is.",
          ),
      })
      .prefault({})
      .describe("The socket of those who may look: lists, status, the log, live events."),
    change: z
      .strictObject(socketFields("control.sock", "0600"))
      .prefault({})
      .describe("The socket of those who may change as well: the queue, the settings, the run; and read whole mails."),
  })
  .prefault({});

export type ControlSettings = z.output<typeof controlSettings>;
