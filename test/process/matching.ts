import { LogRecordView } from '../../pipelines/otlp/log-record.ts';
import { SpanView } from '../../pipelines/otlp/span.ts';
import { Walker } from '../../pipelines/otlp/walk.ts';
import { compileCondition } from '../../pipelines/process/condition.ts';
import { Item } from '../../pipelines/process/item.ts';
import type { ConditionContext } from '../../pipelines/process/ottl-value.ts';

/** Whether `text` holds for the first item of the Data message `bytes`; for `spanevent`, for the first event of the first span. */
export function holds(text: string, context: ConditionContext, bytes: Buffer): boolean {
  const condition = compileCondition(text, context);
  const item = firstItem(context, bytes);
  return condition.matches(item);
}

export function firstItem(context: ConditionContext, bytes: Buffer): Item {
  const item = new Item();
  let seen = false;
  new Walker().walk(bytes, 0, bytes.length, {
    resource: (start, stop) => {
      if (!seen) item.scope.setResource(bytes, start, stop);
    },
    scope: (start, stop) => {
      if (!seen) item.scope.setScope(bytes, start, stop);
    },
    item: (start, stop) => {
      if (seen) return;
      seen = true;
      if (context === 'log') item.log = new LogRecordView().parse(bytes, start, stop);
      else if (context === 'metric') item.metric.parse(bytes, start, stop);
      else {
        item.span = new SpanView().parse(bytes, start, stop);
        if (context === 'spanevent') item.event.parse(bytes, item.span.events.start(0), item.span.events.stop(0));
      }
    },
  });
  if (!seen) throw new Error('the message holds no item');
  return item;
}
