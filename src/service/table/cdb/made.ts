export interface MadeCdb {
  readonly file: string;
  readonly entries: number;
}

/** Why an indexed file was not made. */
export interface MakeProblem {
  /** Undefined when it is not one line's. */
  readonly line?: number | undefined;
  readonly text: string;
  /** The system does not let this user. */
  readonly isDenied?: true;
}
