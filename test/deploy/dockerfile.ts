import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { repository } from './strict-yaml.ts';
import { unpinned } from './pod-checks.ts';

export interface Instruction {
  readonly word: string;
  readonly flags: readonly string[];
  /** Words of the shell form, or items of the JSON form. */
  readonly args: readonly string[];
  readonly json: boolean;
}

export interface Stage {
  readonly name: string;
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

const WORDS = new Set([
  'FROM',
  'ARG',
  'RUN',
  'COPY',
  'WORKDIR',
  'ENV',
  'USER',
  'EXPOSE',
  'VOLUME',
  'LABEL',
  'HEALTHCHECK',
  'STOPSIGNAL',
  'ENTRYPOINT',
  'CMD',
  'SHELL',
]);

/** The stages of a Dockerfile. @throws AssertionError for what Docker would refuse, and for what we do not use (ADD, ONBUILD, here-documents) */
export function parseDockerfile(text: string): Stage[] {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const stages: { name: string; from: string; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const instruction = parseInstruction(line);
    if (instruction.word === 'FROM') {
      const [from, as, name, ...more] = instruction.args;
      assert.ok(
        from !== undefined && as?.toUpperCase() === 'AS' && name !== undefined && more.length === 0,
        `not FROM IMAGE AS NAME: ${line}`,
      );
      assert.ok(!stages.some((stage) => stage.name === name), `two stages ${name}`);
      stages.push({ name, from, instructions: [] });
    } else {
      const stage = stages.at(-1);
      assert.ok(stage !== undefined, `before the first FROM: ${line}`);
      stage.instructions.push(instruction);
    }
  }
  assert.ok(stages.length > 0, 'no FROM');
  return stages;
}

function parseInstruction(line: string): Instruction {
  const [, word = '', rest = ''] = /^([A-Za-z]+)\s+(.*)$/.exec(line) ?? [];
  assert.ok(WORDS.has(word), `unknown instruction: ${line}`);
  const flags: string[] = [];
  let tail = rest;
  for (let flag = /^(--[a-z-]+=\S+)\s+/.exec(tail); flag !== null; flag = /^(--[a-z-]+=\S+)\s+/.exec(tail)) {
    flags.push(flag[1]!);
    tail = tail.slice(flag[0].length);
  }
  const body = word === 'HEALTHCHECK' ? tail.replace(/^CMD\s+/, '') : tail;
  if (!body.startsWith('[')) return { word, flags, args: tail.split(/\s+/), json: false };
  return { word, flags, args: JSON.parse(body) as string[], json: true };
}

/** A stage's instructions with those of the stages it builds on, oldest first. */
export function lineage(stages: readonly Stage[], name: string): Instruction[] {
  const stage = stages.find((one) => one.name === name);
  assert.ok(stage !== undefined, `no stage ${name}`);
  return [...(stages.some((one) => one.name === stage.from) ? lineage(stages, stage.from) : []), ...stage.instructions];
}

/** Whether the pattern of .dockerignore leaves `path` in the build context; as many patterns as ours: `*`, `!NAME` and plain names. */
export function inContext(path: string, ignore: string): boolean {
  let inside = true;
  for (const line of ignore.split('\n').map((one) => one.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const again = line.startsWith('!');
    const pattern = (again ? line.slice(1) : line).replace(/\/$/, '');
    if (pattern === '*' || path === pattern || path.startsWith(`${pattern}/`)) inside = again;
  }
  return inside;
}

/** What is wrong with a Dockerfile: images, sources of COPY, users, entry points. */
export function dockerfileProblems(stages: readonly Stage[], finals: readonly string[], ignore: string): string[] {
  const problems: string[] = [];
  stages.forEach((stage, n) => {
    const earlier = stages.slice(0, n).map(({ name }) => name);
    if (!earlier.includes(stage.from) && unpinned(stage.from)) problems.push(`${stage.name}: image ${stage.from} is not pinned`);
    for (const { word, flags, args } of stage.instructions) {
      if (word !== 'COPY') continue;
      const from = flags.find((flag) => flag.startsWith('--from='))?.slice(7);
      if (from !== undefined) {
        if (!earlier.includes(from)) problems.push(`${stage.name}: COPY from ${from}, which is no earlier stage`);
        continue;
      }
      for (const source of args.slice(0, -1)) {
        if (globSync(source, { cwd: repository }).length === 0) problems.push(`${stage.name}: COPY of ${source}, which is not there`);
        if (!inContext(source, ignore)) problems.push(`${stage.name}: .dockerignore leaves out ${source}`);
      }
    }
  });
  for (const name of finals) {
    const all = lineage(stages, name);
    const last = (word: string): Instruction | undefined => all.findLast((one) => one.word === word);
    const user = last('USER')?.args[0]?.split(':')[0] ?? 'root';
    // By number: runAsNonRoot of Kubernetes cannot tell of a name.
    if (!/^[1-9]\d*$/.test(user)) problems.push(`${name}: runs as ${user}`);
    for (const word of ['ENTRYPOINT', 'CMD', 'HEALTHCHECK'])
      if (last(word)?.json !== true) problems.push(`${name}: ${word} is missing, or a shell stands between it and the signals`);
  }
  return problems;
}
