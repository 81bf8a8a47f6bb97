import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartedCommand {
  readonly child: ChildProcess;
  /** What came on stderr so far. */
  readonly told: () => string;
  readonly ended: Promise<Ended>;
}

/** The command line as a process of its own, in a project whose model is the shop's. */
export class Cli {
  private readonly project = mkdtempSync(join(tmpdir(), 'reprise-cli-'));

  constructor(private readonly env: Readonly<Record<string, string>>) {
    writeFileSync(
      join(this.project, 'package.json'),
      JSON.stringify({ reprise: { model: join(ROOT, 'shop/model.ts') } }),
    );
  }

  start(...args: readonly string[]): StartedCommand {
    const child = spawn(process.execPath, [join(ROOT, 'cli/bin.js'), ...args], {
      cwd: this.project,
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<Ended>((done) => child.once('close', (status) => done({ status, stdout, stderr })));
    return { child, told: () => stderr, ended };
  }

  run = (...args: readonly string[]): Promise<Ended> => this.start(...args).ended;

  /** What `--json` tells. */
  async ask(...args: readonly string[]): Promise<{ readonly status: number | null; readonly told: unknown }> {
    const { status, stdout, stderr } = await this.run(...args, '--json');
    if (!stdout) throw new Error(`nothing on stdout: ${stderr}`);
    return { status, told: JSON.parse(stdout) };
  }

  remove(): void {
    rmSync(this.project, { recursive: true, force: true });
  }
}
