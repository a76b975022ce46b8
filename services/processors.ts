import type { Component } from '../config/plan.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import type { Processor } from '../pipelines/process/processor.ts';

/** The stateless processors of a pipeline, each with buffers of its own: never share one between branches. */
export function processorsOf(components: readonly Component[], signal: Signal): Processor[] {
  return components.map((component) => {
    throw new Error(`not yet: ${component.id} ${signal}`);
  });
}
