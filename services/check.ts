import { parseArgs } from 'node:util';
import { formatProblems, loadConfig } from '../config/load.ts';
import { formatPlan, planPipelines, type Plan } from '../config/plan.ts';
import type { Config } from '../config/schema.ts';
import { OperatorError } from '../pipelines/base/errors.ts';
import { runPipelineTest } from './pipeline-test.ts';

const CHECK_USAGE = `Checks a pipeline file and runs the tests it carries.

Usage: tailrace check FILE...

Prints every problem as FILE:LINE:COL: error|warning: MESSAGE, then each test of the file's \`tests:\`.
Exits 1 when there is an error or a test failed. Nothing is started, nothing is written.

Example: tailrace check config/tailrace.yaml
`;

const PLAN_USAGE = `Prints how a pipeline file is cut into stages: what runs in ingest, sample and write, and the topics between them.

Usage: tailrace plan FILE

Example: tailrace plan config/tailrace.yaml
`;

export async function runCheck(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    options: { help: { type: 'boolean', short: 'h' }, config: { type: 'string', multiple: true } },
    allowPositionals: true,
  });
  if (values.help === true) {
    process.stdout.write(CHECK_USAGE);
    return 0;
  }
  const files = [...positionals, ...(values.config ?? [])];
  if (files.length === 0) throw new OperatorError('check needs a file', 'Example: tailrace check config/tailrace.yaml');
  let failed = false;
  for (const file of files) failed = !checkFile(file) || failed;
  return failed ? 1 : 0;
}

function checkFile(file: string): boolean {
  const { config, problems } = loadConfig(file);
  process.stdout.write(formatProblems(file, problems));
  if (config === undefined) {
    const errors = problems.filter((problem) => problem.severity === 'error').length;
    process.stdout.write(`${file}: ${errors} ${errors === 1 ? 'error' : 'errors'}\n`);
    return false;
  }
  const plan = planPipelines(config);
  let failures = 0;
  for (const test of config.tests) {
    const wrong = runPipelineTest(plan, test);
    process.stdout.write(`${wrong.length === 0 ? 'ok  ' : 'FAIL'} ${test.name}\n${wrong.map((line) => `       ${line}\n`).join('')}`);
    if (wrong.length > 0) failures++;
  }
  const warnings = problems.length === 0 ? '' : `, ${problems.length} ${problems.length === 1 ? 'warning' : 'warnings'}`;
  const tests = config.tests.length === 0 ? 'no tests' : `${config.tests.length - failures} of ${config.tests.length} tests passed`;
  process.stdout.write(`${file}: ${failures === 0 ? 'good' : 'not good'}, ${tests}${warnings}\n`);
  return failures === 0;
}

export async function runPlan(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    options: { help: { type: 'boolean', short: 'h' }, config: { type: 'string' } },
    allowPositionals: true,
  });
  if (values.help === true) {
    process.stdout.write(PLAN_USAGE);
    return 0;
  }
  const file = positionals[0] ?? values.config;
  if (file === undefined) throw new OperatorError('plan needs a file', 'Example: tailrace plan config/tailrace.yaml');
  process.stdout.write(formatPlan(planOrExplain(file).plan));
  return 0;
}

/** A checked file and its plan; warnings go to stderr. @throws OperatorError with every problem of a file that has errors */
export function planOrExplain(file: string): { config: Config; plan: Plan } {
  const { config, problems } = loadConfig(file);
  if (config === undefined)
    throw new OperatorError(`${file} has errors:\n${formatProblems(file, problems)}`, `tailrace check ${file} shows them again.`);
  process.stderr.write(formatProblems(file, problems));
  return { config, plan: planPipelines(config) };
}
