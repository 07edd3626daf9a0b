// Type-checks every committed dashboard as a literal of the type in board.ts.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const boards = join(here, '..', 'dashboards');
const folder = mkdtempSync(join(here, 'checked-'));
try {
  const files = readdirSync(boards).map((name) => {
    const text = readFileSync(join(boards, name), 'utf8');
    const file = join(folder, name.replace(/\.json$/, '.ts'));
    writeFileSync(file, `import type { Board } from '../board';\nexport const board: Board = ${text};\n`);
    return file;
  });
  const options = ['--noEmit', '--strict', '--module', 'esnext', '--moduleResolution', 'bundler', '--target', 'es2022'];
  const tsc = join(here, 'node_modules', '.bin', 'tsc');
  const checked = spawnSync(tsc, [...options, ...files], { stdio: 'inherit' });
  process.exitCode = checked.status ?? 1;
  if (process.exitCode === 0) console.log(`${files.length} dashboards have Grafana's types`);
} finally {
  rmSync(folder, { recursive: true });
}
