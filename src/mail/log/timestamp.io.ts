/** Writes instants for log lines, in the machine's time zone. Lines of one second share the work. */
export interface Stamps {
  /** `Nov 21 03:04:05`, as syslog has always written it. */
  readonly classic: (at: number) => string;
  /** `2026-11-21T03:04:05.123+01:00`. */
  readonly iso: (at: number) => string;
  /** `2026-11-21T02:04:05.123Z`. */
  readonly utc: (at: number) => string;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function createStamps(): Stamps {
  const classic = perSecond((at) => {
    const day = String(at.getDate()).padStart(2, " ");
    return `${MONTHS[at.getMonth()] ?? "Jan"} ${day} ${clockOf(at)}`;
  });
  const iso = perSecond((at) => {
    const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    return `${date}T${clockOf(at)}`;
  });
  const zone = perSecond((at) => {
    const minutes = -at.getTimezoneOffset();
    const size = Math.abs(minutes);
    return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
  });
  return {
    classic,
    iso: (at) => `${iso(at)}.${String(Math.floor(at) % 1000).padStart(3, "0")}${zone(at)}`,
    utc: (at) => new Date(at).toISOString(),
  };
}

function perSecond(write: (at: Date) => string): (at: number) => string {
  let lastSecond = Number.NaN;
  let lastText = "";
  return (at) => {
    const second = Math.floor(at / 1000);
    if (second !== lastSecond) {
      lastSecond = second;
      lastText = write(new Date(second * 1000));
    }
    return lastText;
  };
}

const two = (number: number): string => String(number).padStart(2, "0");
const clockOf = (at: Date): string => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
