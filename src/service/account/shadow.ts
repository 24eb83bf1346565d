/** What a shadow entry says about a login on a day, by shadow(5); the password's hash aside. */
export interface ShadowTerms {
  readonly hash: string;
  readonly lastChangeDay?: number | undefined;
  readonly mostDays?: number | undefined;
  readonly graceDays?: number | undefined;
  readonly expiresDay?: number | undefined;
}

/** Why nobody may log in by this entry today; undefined: by the right password. Days are since the epoch. */
export function shadowRefusal(entry: ShadowTerms, today: number): string | undefined {
  const { hash, lastChangeDay, mostDays, graceDays, expiresDay } = entry;
  if (hash === "") return "the account has no password";
  if (hash.startsWith("!")) return "the account is locked";
  if (hash.startsWith("*")) return "the account has no password login";
  if (expiresDay !== undefined && today >= expiresDay) return "the account has expired";
  // A change on day 0 asks for a new password at the next login, which mail clients can't give.
  if (lastChangeDay === 0) return "the password must be changed first";
  if (lastChangeDay === undefined || mostDays === undefined || mostDays >= 99_999) return undefined;
  if (today > lastChangeDay + mostDays + (graceDays ?? 0)) return "the password has expired";
  return undefined;
}
