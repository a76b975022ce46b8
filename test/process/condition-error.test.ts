import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConditionError } from '../../pipelines/process/condition-error.ts';
import { compileCondition } from '../../pipelines/process/condition.ts';
import type { ConditionContext } from '../../pipelines/process/ottl-value.ts';

/** context, condition, column, message, suggestion */
const table: readonly (readonly [ConditionContext, string, number, RegExp, RegExp | undefined])[] = [
  ['span', '', 1, /missing at the end/, undefined],
  ['span', 'name', 1, /not a condition/, /name ==/],
  ['span', 'name ==', 8, /missing at the end/, undefined],
  ['span', 'name = "a"', 6, /not a comparison/, /==/],
  ['span', "name == 'a'", 9, /double quotes/, /"/],
  ['span', 'name == "a', 9, /not closed/, /"/],
  ['span', 'name == "a" && kind == 1', 13, /&&/, /and/],
  ['span', 'name == "a" || kind == 1', 13, /\|\|/, /or/],
  ['span', '!true', 1, /!/, /not/],
  ['span', 'name == "a" adn kind == 1', 13, /expected and/, /did you mean and\?/],
  ['span', '(name == "a"', 13, /expected \)/, undefined],
  ['span', 'name == "a")', 12, /found \)/, undefined],
  ['span', 'atributes["a"] == 1', 1, /no atributes/, /did you mean attributes\?/],
  ['span', 'span.nmae == "a"', 6, /no nmae/, /did you mean span.name\?/],
  ['span', 'status == 1', 1, /no status/, /status.code/],
  ['span', 'resource.atributes["a"] == 1', 10, /no atributes/, /resource.attributes/],
  ['span', 'attributes == nil', 1, /needs a key/, /\["key"\]/],
  ['span', 'attributes[1] == nil', 12, /string as its key/, undefined],
  ['span', 'name["a"] == nil', 6, /no such key/, undefined],
  ['span', 'log.body == "x"', 1, /cannot read log/, undefined],
  ['metric', 'datapoint.attributes["a"] == 1', 1, /data points are not supported yet/, undefined],
  ['span', 'events == nil', 1, /not supported yet/, undefined],
  ['span', 'kind == "Server"', 1, /int is compared with a string/, /SPAN_KIND_SERVER/],
  ['span', '"ERROR" == status.code', 1, /string is compared with an int/, /STATUS_CODE_ERROR/],
  ['span', 'trace_id == "abc"', 1, /bytes is compared with a string/, /trace_id.string/],
  ['log', 'severity_number > "WARN"', 1, /int is compared with a string/, /SEVERITY_NUMBER_WARN/],
  ['span', 'status.code == STATUS_CODE_EROR', 16, /unknown enum/, /STATUS_CODE_ERROR/],
  ['span', 'IsMach(name, "a")', 1, /unknown function/, /IsMatch/],
  ['span', 'isMatch(name, "a")', 1, /unknown function/, /IsMatch/],
  ['span', 'set(name, "a")', 1, /changes data/, undefined],
  ['span', 'Concat([name], "") == "a"', 8, /list is not supported yet/, undefined],
  ['span', 'Substring(name, 0, 1) == "a"', 1, /Substring is not supported yet/, undefined],
  ['span', 'IsMatch(name)', 1, /takes 2 arguments, not 1/, /target, pattern/],
  ['span', 'IsMatch(name, patern="a")', 22, /no argument patern/, /pattern/],
  ['span', 'IsMatch(name, attributes["p"])', 15, /not a literal/, undefined],
  ['span', 'IsMatch(name, "a(b")', 17, /not closed/, undefined],
  ['span', 'IsMatch(name, "a(?!b)")', 17, /look-around/, undefined],
  ['span', 'IsMatch(name, "\\d")', 16, /unknown escape/, /\\\\d/],
  ['span', 'Len(name)', 1, /true or false/, undefined],
  ['span', 'TraceID(0x00) == trace_id', 9, /16 bytes, this is 1/, undefined],
  ['span', 'attributes["a"] == 0xabc', 20, /even number/, undefined],
  ['span', 'attributes["a"] == 99999999999999999999', 20, /64 bits/, undefined],
  ['span', 'end_time_unix_nano - start_time_unix_nano > 5', 20, /arithmetic is not supported yet/, undefined],
  ['log', 'IsRootSpan()', 1, /no span/, undefined],
];

for (const [context, text, column, message, suggestion] of table) {
  test(`compileCondition() explains ${text === '' ? 'an empty condition' : text}`, () => {
    assert.throws(
      () => compileCondition(text, context),
      (error) => {
        assert.ok(error instanceof ConditionError, String(error));
        assert.match(error.message, message);
        assert.equal(error.column, column);
        if (suggestion !== undefined) assert.match(error.suggestion ?? '', suggestion);
        return true;
      },
    );
  });
}

test('a condition nested beyond any reason is refused, not a stack overflow', () => {
  assert.throws(() => compileCondition(`${'('.repeat(20_000)}true${')'.repeat(20_000)}`, 'span'), ConditionError);
  assert.throws(() => compileCondition(`${'not '.repeat(20_000)}true`, 'span'), ConditionError);
});
