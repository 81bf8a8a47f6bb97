import type { Output } from '../output';

export interface Progress {
  readonly tell: (done: number, total: number) => void;
  readonly end: () => void;
}

const TERMINAL_EVERY_MS = 100;
const LOG_EVERY_MS = 5_000;

/** One line that changes on a terminal; a line per 5 s elsewhere; nothing with `--json`. On stderr. */
export function makeProgress(name: string, output: Output): Progress {
  const terminal = process.stderr.isTTY;
  const startedAt = Date.now();
  let toldAt = 0;
  let last = '';
  let open = false;

  const print = () => {
    process.stderr.write(terminal ? `\r\x1b[K${last}` : `${last}\n`);
    open = terminal;
  };

  return {
    tell: (done, total) => {
      if (output.json) return;
      const rate = done / Math.max(0.001, (Date.now() - startedAt) / 1000);
      const left = rate > 0 ? Math.ceil((total - done) / rate) : 0;
      const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
      last = `${name}  ${percent} %  ${done}/${total} commands  ${Math.round(rate)}/s  ${left} s left`;
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
