import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { formatProblems, loadConfig } from '../../config/load.ts';
import { planPipelines } from '../../config/plan.ts';
import { runPipelineTest } from '../../services/pipeline-test.ts';

/** Everything in config/examples is read by people as an example: it loads without a warning, and its own tests pass. */

const files = globSync(new URL('../../config/examples/*.yaml', import.meta.url).pathname).toSorted();

test('config/examples: there are examples', () => {
  assert.ok(files.length >= 4, `found ${files.length} files`);
});

for (const file of files) {
  const name = basename(file);

  test(`config/examples: ${name} has neither errors nor warnings, and its tests pass`, () => {
    const { config, problems } = loadConfig(file);
    assert.equal(formatProblems(name, problems), '');
    const plan = planPipelines(config!);
    assert.ok(config!.tests.length >= 2, `${name} has ${config!.tests.length} tests`);
    for (const one of config!.tests) assert.deepEqual(runPipelineTest(plan, one), [], `${name}: ${one.name}`);
  });

  test(`config/examples: the tests of ${name} can fail`, () => {
    const { config } = loadConfig(file);
    const plan = planPipelines(config!);
    for (const one of config!.tests) {
      const expect = one.expect.map(({ trace, kept }) => ({ trace, kept: !kept }));
      assert.equal(runPipelineTest(plan, { ...one, expect }).length, expect.length, `${name}: ${one.name}`);
    }
  });
}
