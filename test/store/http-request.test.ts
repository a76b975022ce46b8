import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exceptionOf, FaceError, statusOf } from '../../pipelines/store/exception.ts';
import { readRequest, responseCoding } from '../../pipelines/store/http-request.ts';

const none = (): undefined => undefined;

test('readRequest() tells parameters of the interface, of the query and settings apart', () => {
  const request = readRequest(
    '/?query=SELECT%201&database=d&default_format=CSV&param_x=a%09b&max_threads=3&user=u&password=p&query_id=q&session_id=s&session_timeout=5&client_protocol_version=54460&async_insert=1',
    none,
  );
  assert.equal(request.query, 'SELECT 1');
  assert.equal(request.database, 'd');
  assert.equal(request.defaultFormat, 'CSV');
  assert.deepEqual([...request.params], [['x', 'a\tb']]);
  assert.deepEqual([...request.settings], [['max_threads', '3']]);
  assert.deepEqual(request.session, { id: 's', timeout_s: 5, mustExist: false });
  assert.equal(request.clientProtocolVersion, 54_460);
});

test('readRequest() refuses what it does not speak, and names that are not names', () => {
  for (const url of ['/?compress=1', '/?decompress=1', '/?a%20b=1', "/?param_x'=1", '/?session_id=s&session_timeout=99999'])
    assert.throws(() => readRequest(url, none), FaceError, url);
  assert.throws(() => readRequest('/', (name) => (name === 'content-type' ? 'multipart/form-data; boundary=x' : undefined)), FaceError);
  assert.equal(readRequest('/?compress=0', none).settings.size, 0);
});

test('responseCoding() compresses where the client can and did not forbid', () => {
  assert.equal(responseCoding('gzip, deflate', new Map()), 'gzip');
  assert.equal(responseCoding('zstd', new Map()), 'zstd');
  assert.equal(responseCoding(undefined, new Map()), 'identity');
  assert.equal(responseCoding('lz4', new Map()), 'identity');
  assert.equal(responseCoding('gzip', new Map([['enable_http_compression', '0']])), 'identity');
});

test('exceptions: code from the text, status from the code', () => {
  assert.deepEqual(exceptionOf('Code: 60. DB::Exception: x (UNKNOWN_TABLE)'), {
    code: 60,
    text: 'Code: 60. DB::Exception: x (UNKNOWN_TABLE)',
  });
  assert.equal(exceptionOf('boom').code, 1002);
  for (const [code, status] of [
    [60, 404],
    [62, 400],
    [159, 408],
    [48, 501],
    [241, 500],
    [516, 403],
    [229, 413],
  ] as const)
    assert.equal(statusOf(code), status);
});
