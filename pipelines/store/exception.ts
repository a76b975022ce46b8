/** How ClickHouse tells of an error over HTTP: a status, a header with the code, the text in the body. */
export interface Exception {
  readonly code: number;
  /** `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`, without the version. */
  readonly text: string;
}

/** Codes of ClickHouse's ErrorCodes.cpp by the status that its exceptionCodeToHTTPStatus.cpp gives them; what is not here is 500. */
const codesByStatus: readonly (readonly [status: number, codes: readonly number[]])[] = [
  // REQUIRED_PASSWORD
  [401, [194]],
  // UNKNOWN_USER, WRONG_PASSWORD, SET_NON_GRANTED_ROLE, AUTHENTICATION_FAILED
  [403, [192, 193, 512, 516]],
  // CANNOT_PARSE_* of text, escape, quoted string, input, date, date time, number, UUID, domain value, IPv4, IPv6
  [400, [6, 25, 26, 27, 38, 41, 72, 376, 441, 675, 676]],
  // THERE_IS_NO_COLUMN, DUPLICATE_COLUMN, BAD_ARGUMENTS, UNKNOWN_ELEMENT_IN_AST, ILLEGAL_COLUMN, TYPE_MISMATCH, SYNTAX_ERROR, INCORRECT_DATA,
  // UNKNOWN_TYPE_OF_AST_NODE, TOO_DEEP_AST, TOO_BIG_AST, UNEXPECTED_AST_STRUCTURE, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, CANNOT_COMPILE_REGEXP
  [400, [8, 15, 36, 37, 44, 53, 62, 117, 123, 167, 168, 223, 321, 427]],
  // UNKNOWN_* function, identifier, type, storage, table, aggregate function, format, type of query, database, setting, direction of sorting, database engine, role
  [404, [46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511]],
  // TIMEOUT_EXCEEDED
  [408, [159]],
  // HTTP_LENGTH_REQUIRED
  [411, [381]],
  // QUERY_IS_TOO_LARGE
  [413, [229]],
  // NOT_IMPLEMENTED
  [501, [48]],
  // CANNOT_OPEN_FILE, SOCKET_TIMEOUT, CANNOT_SCHEDULE_TASK
  [503, [76, 209, 439]],
];
const statuses = new Map(codesByStatus.flatMap(([status, codes]) => codes.map((code) => [code, status] as const)));

/** The HTTP status of an exception's code. */
export function statusOf(code: number): number {
  return statuses.get(code) ?? 500;
}

/** Reads `Code: N. DB::Exception: …`; a text without a code is 1002 UNKNOWN_EXCEPTION. */
export function exceptionOf(message: string): Exception {
  const code = /^\s*Code: (\d+)\./.exec(message)?.[1];
  if (code === undefined) return { code: 1002, text: `Code: 1002. DB::Exception: ${message.trim()} (UNKNOWN_EXCEPTION)` };
  return { code: Number(code), text: message.trim() };
}

/** An error of the HTTP face itself, in ClickHouse's words. */
export class FaceError extends Error {
  override readonly name = 'FaceError';
  readonly code: number;
  readonly status: number;
  /** @param label ClickHouse's name of the code, such as `NOT_IMPLEMENTED` */
  constructor(code: number, label: string, message: string, status?: number) {
    super(`Code: ${code}. DB::Exception: ${message} (${label})`);
    this.code = code;
    this.status = status ?? statusOf(code);
  }
}
