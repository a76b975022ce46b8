import type { Item } from './item.ts';
import type { Slot } from './slot.ts';

/** The item that a condition is about (Collector: OTTL contexts). */
export type ConditionContext = 'span' | 'spanevent' | 'log' | 'metric';
/** `any`: known only at run time, as an attribute's value is. */
export type ValueType = 'nil' | 'bool' | 'int' | 'double' | 'string' | 'bytes' | 'any';
/** Fills a slot of its own from the item and returns it. Valid until the same load runs again. */
export type Load = (item: Item) => Slot;

export interface CompiledValue {
  readonly type: ValueType;
  readonly load: Load;
  /** Set for a literal: its value never changes. */
  readonly constant?: Slot;
}
