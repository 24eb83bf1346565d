/** Whose rights something is done with: not only files, also commands and everything that these start. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
  /** All groups, `gid` among them or not. */
  readonly groups: readonly number[];
}
