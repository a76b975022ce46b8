import { writeFileSync } from 'node:fs';
import { configurationPage, schemaText } from './describe.ts';

// node config/generate.ts: writes what follows from the schema.
writeFileSync(new URL('../docs/configuration.md', import.meta.url), configurationPage());
writeFileSync(new URL('../docs/tailrace.schema.json', import.meta.url), schemaText());
