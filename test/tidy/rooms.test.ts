import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pureRooms, rooms } from '../../pipelines/rooms.ts';
import { readSources, type SourceFile } from './source.ts';

const roomOf = (path: string): string | undefined => /^pipelines\/([^/]+)\//.exec(path)?.[1];
const table: Record<string, readonly string[]> = rooms;

/** Every import that the table does not allow. */
function breaches(files: readonly SourceFile[]): string[] {
  const found: string[] = [];
  for (const file of files) {
    const room = roomOf(file.path);
    if (room === undefined) continue;
    for (const target of file.imports) {
      const other = roomOf(target);
      if (other === room) continue;
      if (other === undefined) found.push(`${file.path} imports ${target}: a room imports only rooms`);
      else if (!table[room]?.includes(other)) found.push(`${file.path} imports ${target}: ${room} may not import ${other}`);
    }
  }
  return found;
}

/** The first cycle of files, as a path that ends where it began. */
function cycle(files: readonly SourceFile[]): string[] | undefined {
  const edges = new Map(files.map((file) => [file.path, file.imports]));
  const done = new Set<string>();
  const visit = (path: string, trail: string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const next of edges.get(path) ?? []) {
      const found = visit(next, [...trail, path]);
      if (found !== undefined) return found;
    }
    done.add(path);
    return undefined;
  };
  for (const file of files) {
    const found = visit(file.path, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

const files = readSources(['pipelines', 'services', 'config']);

test('rooms: every room has files, and every folder is a room', () => {
  const seen = new Set(files.map((file) => roomOf(file.path)).filter((room) => room !== undefined));
  assert.deepEqual([...seen].toSorted(), Object.keys(rooms).toSorted());
  console.log(`rooms: ${files.length} files in ${seen.size} rooms and beside them`);
});

test('rooms: no import that the table does not allow', () => {
  assert.deepEqual(breaches(files), []);
});

test('rooms: no cycle between files', () => {
  assert.equal(cycle(files), undefined);
});

test('rooms: the table itself has no cycle', () => {
  const order = Object.keys(rooms);
  for (const [room, allowed] of Object.entries(table))
    for (const other of allowed)
      assert.ok(order.indexOf(other) < order.indexOf(room), `${room} may import ${other}, which stands below it`);
});

test('rooms: nothing but services and config imports config or services', () => {
  assert.deepEqual(
    files
      .filter((file) => file.path.startsWith('pipelines/') && file.imports.some((target) => /^(services|config)\//.test(target)))
      .map((file) => file.path),
    [],
  );
});

test('rooms: pure rooms hold no clock, timer, promise, file or socket', () => {
  // node:crypto and node:zlib have synchronous pure functions; all else of node: waits or reaches out.
  const allowed = new Set(['node:crypto', 'node:zlib', 'node:buffer']);
  const banned = /\b(?:Date\.now|performance\.now|setTimeout|setInterval|setImmediate|queueMicrotask|async |await |Promise\b|process\.)/;
  const found: string[] = [];
  let seen = 0;
  for (const file of files) {
    const room = roomOf(file.path);
    if (room === undefined || !(pureRooms as readonly string[]).includes(room)) continue;
    seen++;
    const code = file.text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    const word = banned.exec(code);
    if (word !== null) found.push(`${file.path}: ${word[0]}`);
    for (const name of file.packages) if (!allowed.has(name)) found.push(`${file.path}: ${name}`);
  }
  assert.deepEqual(found, []);
  assert.ok(seen > 20, `only ${seen} files seen`);
});

test('rooms: the check finds a breach and a cycle where there is one', () => {
  const file = (path: string, imports: string[]): SourceFile => ({ path, text: '', imports, packages: [] });
  assert.equal(breaches([file('pipelines/wire/a.ts', ['pipelines/encode/b.ts'])]).length, 1);
  assert.equal(breaches([file('pipelines/wire/a.ts', ['config/load.ts'])]).length, 1);
  assert.deepEqual(cycle([file('a', ['b']), file('b', ['c']), file('c', ['a'])]), ['a', 'b', 'c', 'a']);
});
