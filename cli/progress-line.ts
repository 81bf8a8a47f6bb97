import type { Output } from './output';

export interface ProgressLine {
  /** Shown at once on a terminal that has not been told for a moment; elsewhere every 5 s. */
  readonly tell: (line: string) => void;
  /** The last line stays. */
  readonly end: () => void;
}

const TERMINAL_EVERY_MS = 100;
const LOG_EVERY_MS = 5_000;

/** One line that changes on a terminal; a line per 5 s elsewhere; nothing with `--json`. On stderr. */
export function makeProgressLine(output: Output): ProgressLine {
  const terminal = process.stderr.isTTY;
  let toldAt = 0;
  let last = '';
  let open = false;

  const print = () => {
    process.stderr.write(terminal ? `\r\x1b[K${last}` : `${last}\n`);
    open = terminal;
  };

  return {
    tell: (line) => {
      if (output.json) return;
      last = line;
      if (Date.now() - toldAt < (terminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS)) return;
      toldAt = Date.now();
      print();
    },
    end: () => {
      if (last) print();
      if (open) process.stderr.write('\n');
      last = '';
      open = false;
    },
  };
}
