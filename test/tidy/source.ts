import { globSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

export interface SourceFile {
  /** From the repository's root, with /. */
  readonly path: string;
  readonly text: string;
  /** Repository paths of the files it imports. */
  readonly imports: readonly string[];
  /** Packages and node: modules it imports. */
  readonly packages: readonly string[];
}

const IMPORT = /(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g;

/** Every TypeScript file below `folders`. */
export function readSources(folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: repository }))
    .toSorted()
    .map((path) => {
      const text = readFileSync(resolve(repository, path), 'utf8');
      const targets = [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2]!);
      const local = targets.filter((target) => target.startsWith('.'));
      return {
        path,
        text,
        imports: local.map((target) => relative(repository, resolve(repository, dirname(path), target))),
        packages: targets.filter((target) => !target.startsWith('.')),
      };
    });
}
