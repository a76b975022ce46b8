import type { Progress } from './dead-letters.ts';
import type { LetterView } from './dead-server.ts';

const MESSAGE_CHARACTERS_MAX = 100;
const BAR_CHARACTERS = 30;

/** For a person: a line a letter. */
export function letterTable(letters: readonly LetterView[], matching: number): string {
  if (letters.length === 0) return 'no dead letters\n';
  const rows = letters.map((letter) => [
    `${letter.number}${letter.open ? '' : ' done'}`,
    letter.time.slice(0, 19).replace('T', ' '),
    letter.signal,
    letter.reason,
    letter.table === '' ? '-' : letter.table,
    `${letter.topic}/${letter.partition}@${letter.offset}#${letter.item}${letter.items > 1 ? ` (${letter.items} items)` : ''}`,
    letter.traceId === '' ? '-' : `${letter.traceId}/${letter.spanId}`,
    oneLine(letter.message),
  ]);
  const table = [['NUMBER', 'TIME (UTC)', 'SIGNAL', 'REASON', 'TABLE', 'FROM', 'TRACE/SPAN', 'MESSAGE'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  const more = matching > letters.length ? `the newest ${letters.length} of ${matching}; --limit shows more\n` : '';
  return `${lines.join('\n')}\n${more}`;
}

export function letterText(letter: LetterView): string {
  const { number, time, open, stage, signal, topic, partition, offset, item, items, table, reason, message, traceId, spanId, data } =
    letter;
  const lines: [string, string][] = [
    ['number', `${number}${open ? '' : ' (replayed or dropped)'}`],
    ['time', time],
    ['refused by', `${stage}${table === '' ? '' : `, table ${table}`}`],
    ['reason', reason],
    ['message', printable(message)],
    ['from', `topic ${topic}, partition ${partition}, offset ${offset}, item ${item}${items > 1 ? ` and ${items - 1} more` : ''}`],
    ['signal', signal],
  ];
  if (traceId !== '') lines.push(['trace', traceId], ['span', spanId]);
  return `${lines.map(([name, value]) => `${name.padEnd(11)} ${value}`).join('\n')}\n\n${JSON.stringify(data, undefined, 2)}\n`;
}

/** A bar that is written over on a terminal; plain lines, one a tenth, elsewhere. */
export function progressBar(out: NodeJS.WriteStream, what: string): { readonly tell: (now: Progress) => void; readonly end: () => void } {
  let tenth = 0;
  return {
    tell({ done, refused, at, end }) {
      const part = end === 0 ? 1 : (at + 1) / end;
      const text = `${what}: ${done} done, ${refused} refused again`;
      if (out.isTTY) {
        const full = Math.round(part * BAR_CHARACTERS);
        out.write(`\r[${'#'.repeat(full)}${' '.repeat(BAR_CHARACTERS - full)}] ${text}`);
      } else if (Math.floor(part * 10) > tenth) {
        tenth = Math.floor(part * 10);
        out.write(`${text} (${tenth * 10} %)\n`);
      }
    },
    end() {
      if (out.isTTY) out.write(`\r${' '.repeat(BAR_CHARACTERS + 60)}\r`);
    },
  };
}

/** What came from outside must not move the cursor of a terminal. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '·');
}

function oneLine(text: string): string {
  const line = printable(text).replace(/\s+/g, ' ');
  return line.length <= MESSAGE_CHARACTERS_MAX ? line : `${line.slice(0, MESSAGE_CHARACTERS_MAX)}…`;
}
