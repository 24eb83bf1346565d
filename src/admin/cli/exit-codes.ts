/** sysexits.h: what programs that call a sendmail understand; we use them for every command. */
export const exitCodes = {
  ok: 0,
  /** The question was answered, and the answer is no: nothing matched, a check failed. */
  nothing: 1,
  usage: 64,
  dataError: 65,
  noInput: 66,
  noUser: 67,
  unavailable: 69,
  software: 70,
  cannotCreate: 73,
  ioError: 74,
  /** Come again: the mail was not taken, nothing is wrong with it. */
  temporary: 75,
  protocol: 76,
  noPermission: 77,
  settings: 78,
} as const;
