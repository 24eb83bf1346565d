import { z } from "zod";
import { count, path, size } from "../../service/config/kinds.ts";
import { senderRightsSettings } from "../envelope/settings.ts";

/** How users of this host hand in mail: `sendmail`, and through it cron, mail programs and scripts. */
export const localSubmissionSettings = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe("Whether users of this host hand in mail as who they are, through a socket of the system's."),
    path: path()
      .optional()
      .describe("The socket's file. Without it: `submit.sock` in the state directory's `run`. Everybody may connect."),
    connectionsPerUser: count({ min: 1, max: 10_000 })
      .default(50)
      .describe(
        "Open connections of one user, over all processes; those beyond are turned away, and `sendmail` leaves their mail in `drop`.",
      ),
    senderRights: senderRightsSettings
      .optional()
      .describe(
        "Which addresses users may give as theirs; `{}`: only their own. Root may give any. Left out: anybody any, as is the custom; the Received field and the log say who it was.",
      ),
    drop: z
      .boolean()
      .default(true)
      .describe(
        "Whether mail that is handed in while the server is down waits in `drop`, a folder in the state directory that everybody may put files into.",
      ),
    dropSize: size({ min: "1KiB", max: "1GiB" })
      .prefault("50MiB")
      .describe("The largest file that is taken from there."),
  })
  .prefault({})
  .describe("Mail from users of this host: posthorn as their sendmail.");
export type LocalSubmissionSettings = z.output<typeof localSubmissionSettings>;
