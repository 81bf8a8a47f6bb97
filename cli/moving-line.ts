import type { Output } from './output';

export interface MovingLine {
  readonly tell: (line: string) => void;
  /** What was told last stays. */
  readonly end: () => void;
}

const TERMINAL_EVERY_MS = 100;
const LOG_EVERY_MS = 5_000;

/** One line that changes on a terminal; a line per 5 s elsewhere; nothing with `--json`. On stderr. */
export function makeMovingLine(output: Output): MovingLine {
  const terminal = process.stderr.isTTY;
  let toldAt = 0;
  let last = '';
  let printed = '';

  const print = () => {
    process.stderr.write(terminal ? `\r\x1b[K${cut(last)}` : `${last}\n`);
    printed = last;
  };

  return {
    tell: (line) => {
      if (output.json) return;
      last = line.replace(/\p{Cc}/gu, ' ');
      if (Date.now() - toldAt < (terminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS)) return;
      toldAt = Date.now();
      print();
    },
    end: () => {
      if (last !== printed) print();
      if (terminal && printed) process.stderr.write('\n');
      last = printed = '';
    },
  };
}

/** A line that wraps is not rewritten as a whole. */
const cut = (line: string): string => line.slice(0, Math.max(20, (process.stderr.columns || 80) - 1));
