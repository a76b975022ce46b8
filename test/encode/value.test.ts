import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Malformed } from '../../pipelines/base/errors.ts';
import { VALUE_DEPTH_MAX } from '../../pipelines/encode/json.ts';
import { writeBase64, writeInt } from '../../pipelines/encode/text.ts';
import { writeValue } from '../../pipelines/encode/value.ts';
import { Writer } from '../../pipelines/wire/writer.ts';
import { encode } from '../kit/proto.ts';

function bytesOf(value: Buffer): Buffer {
  const out = new Writer(0);
  out.byte(0xee);
  writeValue(out, Buffer.concat([Buffer.from([0xff]), value, Buffer.from([0xff])]), 1, 1 + value.length);
  const written = out.copy().subarray(1);
  let size = 0;
  let head = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = written[head++]!;
    size |= (byte & 127) << shift;
    if (byte < 128) break;
  }
  assert.equal(size, written.length - head, 'the length in front is that of the text');
  return written.subarray(head);
}

const text = (value: object): string => bytesOf(encode('AnyValue', value)).toString('utf8');

test('writeValue() gives the texts of pcommon.Value.AsString', () => {
  // Expected by hand from pdata/pcommon/value.go and Go's encoding/json.
  const cases: [object, string][] = [
    [{}, ''],
    [{ stringValue: '' }, ''],
    [{ stringValue: 'zażółć <&>' }, 'zażółć <&>'],
    [{ boolValue: true }, 'true'],
    [{ boolValue: false }, 'false'],
    [{ intValue: '0' }, '0'],
    [{ intValue: '-1' }, '-1'],
    [{ intValue: '9223372036854775807' }, '9223372036854775807'],
    [{ intValue: '-9223372036854775808' }, '-9223372036854775808'],
    [{ doubleValue: 0 }, '0'],
    [{ doubleValue: -0 }, '-0'],
    [{ doubleValue: 3 }, '3'],
    [{ doubleValue: 1e20 }, '100000000000000000000'],
    [{ doubleValue: 1e21 }, '1e+21'],
    [{ doubleValue: 1.5e-7 }, '1.5e-7'],
    [{ doubleValue: 0.000001 }, '0.000001'],
    [{ doubleValue: NaN }, 'json: unsupported value: NaN'],
    [{ doubleValue: Infinity }, 'json: unsupported value: +Inf'],
    [{ doubleValue: -Infinity }, 'json: unsupported value: -Inf'],
    [{ bytesValue: Buffer.from([0xfb, 0xff]) }, '+/8='],
    [{ arrayValue: {} }, '[]'],
    [{ kvlistValue: {} }, '{}'],
    [
      { arrayValue: { values: [{ intValue: 1 }, { stringValue: 'a"b' }, {}, { boolValue: true }, { doubleValue: 0.5 }] } },
      '[1,"a\\"b",null,true,0.5]',
    ],
    [{ arrayValue: { values: [{ bytesValue: Buffer.from('hi') }, { arrayValue: { values: [{ intValue: 2 }] } }] } }, '["aGk=",[2]]'],
    [
      {
        kvlistValue: {
          values: [
            { key: 'b', value: { stringValue: '<x>&' } },
            { key: 'a', value: { intValue: 1 } },
            { key: 'b', value: { stringValue: '\u2028\u0001\t\u007f' } },
          ],
        },
      },
      '{"a":1,"b":"\\u2028\\u0001\\t\u007f"}',
    ],
    [{ arrayValue: { values: [{ stringValue: '<>&' }] } }, '["\\u003c\\u003e\\u0026"]'],
    [{ arrayValue: { values: [{ intValue: 1 }, { doubleValue: NaN }] } }, ''],
  ];
  for (const [value, expected] of cases) assert.equal(text(value), expected);
});

test('writeValue() keeps the bytes of a string that is not UTF-8, and marks them within JSON', () => {
  const invalid = Buffer.from([0x61, 0xff, 0xc3, 0x62, 0xe2, 0x82]);
  const string = Buffer.concat([Buffer.from([0x0a, invalid.length]), invalid]);
  assert.deepEqual(bytesOf(string), invalid);
  const array = Buffer.concat([Buffer.from([0x2a, string.length + 2, 0x0a, string.length]), string]);
  assert.equal(bytesOf(array).toString('latin1'), '["a\\ufffd\\ufffdb\\ufffd\\ufffd"]');
});

test('writeValue() reads strings whose length is written too long, and takes the last of several values', () => {
  assert.equal(bytesOf(Buffer.from([0x0a, 0x81, 0x00, 0x61])).toString(), 'a');
  assert.equal(bytesOf(Buffer.from([0x0a, 0x01, 0x61, 0x0a, 0x01, 0x62])).toString(), 'b');
  assert.equal(bytesOf(Buffer.from([0x0a, 0x01, 0x61, 0x18, 0x05])).toString(), '5');
});

for (const size of [126, 127, 128, 129, 16_383, 16_384, 16_385, 70_000]) {
  test(`writeValue() writes a string of ${size} bytes`, () => assert.equal(text({ stringValue: 'x'.repeat(size) }), 'x'.repeat(size)));
}

test('writeValue() throws on a truncated value and writes nothing', () => {
  const value = encode('AnyValue', { arrayValue: { values: [{ stringValue: 'abc' }, { intValue: 7 }] } });
  // Cut inside: the outer length says less than the inner ones need.
  value[1] = value[1]! - 1;
  const out = new Writer(0);
  assert.throws(() => writeValue(out, value, 0, value.length - 1), Malformed);
  assert.equal(out.length, 0);
});

test('writeValue() writes what is nested too deep as null instead of filling the stack', () => {
  // By hand, inside out: protobufjs has a limit of its own.
  const wrap = (field: number, inner: Buffer): Buffer => {
    const head = inner.length < 128 ? [inner.length] : [(inner.length & 127) | 128, inner.length >>> 7];
    return Buffer.concat([Buffer.from([field * 8 + 2, ...head]), inner]);
  };
  let value = wrap(1, Buffer.from('deep'));
  for (let i = 0; i < VALUE_DEPTH_MAX + 1; i++) value = wrap(5, wrap(1, value));
  assert.equal(bytesOf(value).toString(), `${'['.repeat(VALUE_DEPTH_MAX)}null${']'.repeat(VALUE_DEPTH_MAX)}`);
});

test('writeInt() and writeBase64() agree with BigInt and Buffer', () => {
  const out = new Writer(0);
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n) => {
      out.reset();
      writeInt(out, Number(BigInt.asUintN(32, n)), Number(BigInt.asUintN(32, n >> 32n)));
      assert.equal(out.copy().toString(), n.toString());
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      out.reset();
      writeBase64(out, Buffer.from(bytes), 0, bytes.length);
      assert.equal(out.copy().toString(), Buffer.from(bytes).toString('base64'));
    }),
  );
});
